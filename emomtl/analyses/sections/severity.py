"""How bad the answer to one row is, from 0 (right) to 1; and to numbers, in standard deviations.

For labels it is distance times confidence, each in 0..1:

- The distance of two labels is how coarse the level is that they part at: with G groupings, ordered from fine to coarse, two
  labels of one group everywhere are 1 / (G + 1) apart, those that part at the k-th grouping at most (k + 1) / (G + 1), those
  that part at the coarsest 1. Where the labels have valence, arousal and dominance, it is the mean of that and of their
  distance there, over the largest between any two labels. A wrong answer is as far as the nearest true label, a missed label
  as far as the nearest answer; the row's distance is that of its worst wrong label. Where nothing is answered (or nothing is
  true), no group is claimed, so the distance is the smallest step, 1 / (G + 1).
- Confidence is 1 minus the probability that was given to the truth: that of the true label; with several labels a text, the
  geometric mean over the labels that are wrong (1 minus e to the minus the mean cross-entropy of these labels).

For numbers it is the root mean square, over the known dimensions, of the error in standard deviations of the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.space.coordinates import taxonomy_coordinates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy

LEAST = 1e-12
"""The smallest probability that is counted, so that none costs endlessly much."""


@dataclass(frozen=True)
class Severities:
    """Of n rows: `severity`, `distance` and `confidence` (n,), all 0 where the answer is right.

    `left` has the place of the coarsest grouping that the worst wrong label leaves in `levels`, -1 where it leaves none.
    """

    severity: NDArray[np.float64]
    distance: NDArray[np.float64]
    confidence: NDArray[np.float64]
    left: NDArray[np.int64]
    levels: tuple[str, ...]


def label_levels(taxonomy: Taxonomy) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The groupings' names from fine to coarse, and for each pair of labels (L, L) the place of the coarsest it leaves, or -1."""
    import numpy as np

    ordered = sorted(taxonomy.groupings, key=lambda one: -len(one.names))
    left = np.full((len(taxonomy), len(taxonomy)), -1)
    for place, grouping in enumerate(ordered):
        group = np.array([grouping.names.index(grouping.parents[name]) for name in taxonomy.names])
        left[group[:, None] != group[None, :]] = place
    return tuple(one.name for one in ordered), left


def label_distances(taxonomy: Taxonomy) -> NDArray[np.float64]:
    """The distance of each pair of labels (L, L): in 0..1, and 0 on the diagonal."""
    import numpy as np

    levels, left = label_levels(taxonomy)
    found = (left + 2) / (len(levels) + 1)
    points = taxonomy_coordinates(taxonomy).matrix(taxonomy.names)
    apart = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    known = np.isfinite(apart)
    if known.any() and apart[known].max() > 0:
        found = np.where(known, (found + apart / apart[known].max()) / 2, found)
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)


def label_severities(
    taxonomy: Taxonomy, targets: NDArray[Any], probabilities: NDArray[np.float64], answered: NDArray[np.bool_]
) -> Severities:
    """The severities of n answers: targets (n,) or (n, L), probabilities (n, L), and the labels that are answered (n, L)."""
    import numpy as np

    size = len(taxonomy)
    single = targets.ndim == 1
    truth = targets[:, None] == np.arange(size) if single else np.nan_to_num(targets) >= 0.5
    known = np.ones_like(truth) if single else ~np.isnan(targets)
    wrong = (truth != answered) & known
    levels, left = label_levels(taxonomy)
    distance, level = _worst(truth & known, answered & known, wrong, label_distances(taxonomy), left, 1 / (len(levels) + 1))
    given = probabilities[truth] if single else _given_to_truth(truth, wrong, probabilities)
    confidence = np.where(wrong.any(axis=1), 1 - given, 0.0)
    return Severities(distance * confidence, distance, confidence, level, levels)


def _given_to_truth(
    truth: NDArray[np.bool_], wrong: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The geometric mean (n,) of the probabilities that the truth got in the labels that are wrong; 1 where none is."""
    import numpy as np

    each = np.log(np.clip(np.where(truth, probabilities, 1 - probabilities), LEAST, 1))
    return np.asarray(np.exp((each * wrong).sum(axis=1) / np.maximum(wrong.sum(axis=1), 1)))


def _worst(
    truth: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    distances: NDArray[np.float64],
    left: NDArray[np.int64],
    smallest: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distance of each row's worst wrong label (n,), and the place of the coarsest grouping that this label leaves (n,)."""
    import numpy as np

    found, level = np.zeros(len(truth)), np.full(len(truth), -1)
    for row in np.flatnonzero(wrong.any(axis=1)):
        if not truth[row].any() or not answered[row].any():
            found[row] = smallest
            continue
        for label in np.flatnonzero(wrong[row]):
            other = np.flatnonzero(answered[row] if truth[row, label] else truth[row])
            nearest = other[distances[label, other].argmin()]
            if distances[label, nearest] > found[row]:
                found[row], level[row] = distances[label, nearest], left[label, nearest]
    return found, level


def number_severities(targets: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root mean square error of each row (n,) in standard deviations of targets (n, D); constant dimensions are left out."""
    import numpy as np

    deviations = np.nanstd(targets.astype(np.float64), axis=0)
    varied = deviations > 0
    squares = ((values[:, varied] - targets[:, varied]) / deviations[varied]) ** 2
    known = np.isfinite(squares)
    return np.asarray(np.sqrt(np.where(known, squares, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)))

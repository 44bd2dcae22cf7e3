"""How bad the prediction for one row is, from 0 (right) to 1; of numbers, in standard deviations.

For labels it is distance times confidence, each in 0..1.

Distance of two labels: how coarse the level is at which they part. With G groupings, ordered from
fine to coarse, two labels of one group everywhere are 1 / (G + 1) apart, those that part at the
k-th grouping at most (k + 1) / (G + 1), those that part at the coarsest 1. Where labels have
valence, arousal and dominance, it is the mean of that and of their distance there, over the largest
between any two labels. A wrong prediction is as far as the nearest true label, a missed label as
far as the nearest prediction; the row's distance is that of its worst wrong label. Where nothing is
predicted (or nothing is true), no group is claimed: the distance is the smallest step, 1 / (G + 1).

Confidence: 1 minus the probability that was given to the truth. That is the probability of the true
label; with several labels a text, the geometric mean over the labels that are wrong (1 minus e to
the minus the mean cross-entropy of these labels).

Numbers: the root mean square, over known dimensions, of the error in standard deviations of the
truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.space.coordinates import taxonomy_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy

LEAST = 1e-12
"""The smallest probability that is counted, so that no logarithm is infinite."""


@dataclass(frozen=True)
class Severities:
    """Of n rows: `severity`, `distance` and `confidence` (n,), all 0 where the prediction is right.

    `left` has the place in `levels` of the coarsest grouping that the worst wrong label leaves, -1
    where it leaves none.
    """

    severity: NDArray[np.float64]
    distance: NDArray[np.float64]
    confidence: NDArray[np.float64]
    left: NDArray[np.int64]
    levels: tuple[str, ...]


def label_levels(taxonomy: Taxonomy) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The groupings' names from fine to coarse, and for each pair of labels (L, L) what it leaves.

    That is the place of the coarsest grouping whose groups differ, or -1.
    """
    ordered = sorted(taxonomy.groupings, key=lambda grouping: -len(grouping.names))
    left = np.full((len(taxonomy), len(taxonomy)), -1)
    for place, grouping in enumerate(ordered):
        parents = [grouping.parents[name] for name in taxonomy.names]
        group = np.array([grouping.names.index(parent) for parent in parents])
        left[group[:, None] != group[None, :]] = place
    return tuple(grouping.name for grouping in ordered), left


def label_distances(taxonomy: Taxonomy) -> NDArray[np.float64]:
    """The distance of each pair of labels (L, L): in 0..1, and 0 on the diagonal."""
    levels, left = label_levels(taxonomy)
    distances = (left + 2) / (len(levels) + 1)
    points = taxonomy_coordinates(taxonomy).matrix(taxonomy.names)
    in_vad = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    known = np.isfinite(in_vad)
    if known.any() and in_vad[known].max() > 0:
        scaled = in_vad / in_vad[known].max()
        distances = np.where(known, (distances + scaled) / 2, distances)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances)


def label_severities(
    taxonomy: Taxonomy,
    targets: NDArray[Any],
    probabilities: NDArray[np.float64],
    predicted: NDArray[np.bool_],
) -> Severities:
    """The severities of n predictions.

    `targets` are (n,) or (n, L), `probabilities` (n, L), `predicted` (n, L) is true for the labels
    that the head predicts.
    """
    size = len(taxonomy)
    single = targets.ndim == 1
    truth = targets[:, None] == np.arange(size) if single else np.nan_to_num(targets) >= 0.5
    known = np.ones_like(truth) if single else ~np.isnan(targets)
    wrong = (truth != predicted) & known
    levels, left = label_levels(taxonomy)
    pairs = (label_distances(taxonomy), left, 1 / (len(levels) + 1))
    distance, level = _worst(truth & known, predicted & known, wrong, *pairs)
    given = probabilities[truth] if single else _geometric_mean(truth, wrong, probabilities)
    confidence = np.where(wrong.any(axis=1), 1 - given, 0.0)
    return Severities(distance * confidence, distance, confidence, level, levels)


def _geometric_mean(
    truth: NDArray[np.bool_], wrong: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean probability (n,) of the truth in the labels that are wrong; 1 where none is."""
    given = np.clip(np.where(truth, probabilities, 1 - probabilities), LEAST, 1)
    number = np.maximum(wrong.sum(axis=1), 1)
    return np.asarray(np.exp((np.log(given) * wrong).sum(axis=1) / number))


def _worst(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    distances: NDArray[np.float64],
    left: NDArray[np.int64],
    smallest: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distance (n,) of each row's worst wrong label, and what this label leaves (n,)."""
    distance, level = np.zeros(len(truth)), np.full(len(truth), -1)
    for row in np.flatnonzero(wrong.any(axis=1)):
        if not truth[row].any() or not predicted[row].any():
            distance[row] = smallest
            continue
        for label in np.flatnonzero(wrong[row]):
            missed = truth[row, label]
            others = np.flatnonzero(predicted[row] if missed else truth[row])
            nearest = others[distances[label, others].argmin()]
            if distances[label, nearest] > distance[row]:
                distance[row], level[row] = distances[label, nearest], left[label, nearest]
    return distance, level


def number_severities(targets: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root mean square error of each row (n,) in standard deviations of targets (n, D).

    Constant dimensions are left out.
    """
    deviations = np.nanstd(targets.astype(np.float64), axis=0)
    varied = deviations > 0
    squares = ((values[:, varied] - targets[:, varied]) / deviations[varied]) ** 2
    known = np.isfinite(squares)
    number = np.maximum(known.sum(axis=1), 1)
    return np.asarray(np.sqrt(np.where(known, squares, 0.0).sum(axis=1) / number))

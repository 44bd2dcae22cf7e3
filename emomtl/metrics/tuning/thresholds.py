"""Thresholds of a multi-label head: one for all labels, one a label, or one a group, tuned for F1
on validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["fixed", "global", "per-group", "per-label"]
KINDS: tuple[Kind, ...] = ("fixed", "global", "per-group", "per-label")

GRID = 99
"""Thresholds that are tried: 0.01 to 0.99."""

MIN_SUPPORT = 20
"""Positive rows below which a label, or a group, takes the global threshold: F1 of a handful of
rows is noise.
"""

FOLDS = 5


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each label, (L,).

    `shared` are the labels that had too few positive rows for a threshold of their own.
    """

    kind: Kind
    values: NDArray[np.float64]
    shared: tuple[int, ...] = ()


def fit_thresholds(
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    kind: Kind,
    groups: Sequence[Sequence[int]] = (),
    min_support: int = MIN_SUPPORT,
    fixed: float = 0.5,
) -> Thresholds:
    """The thresholds with the best F1 on rows (n, L); targets are NaN where unknown.

    `global`: the one with the best mean F1 over labels. `per-label`: each label's own best;
    `per-group`: the best mean F1 of the group's labels (`groups` are label positions). Labels and
    groups with fewer than `min_support` positive rows take the global one. Of equally good
    thresholds the one nearest to 0.5 is taken.
    """
    import numpy as np

    labels = probabilities.shape[1]
    if kind == "fixed":
        return Thresholds(kind, np.full(labels, fixed))
    if kind == "global":
        groups = ()
    elif kind == "per-label":
        groups = [[label] for label in range(labels)]
    grid = np.arange(1, GRID + 1) / (GRID + 1)
    curve, support = f1_curve(probabilities, targets, grid)
    values = np.full(labels, grid[_best(mean_f1(curve), grid)])
    shared: list[int] = []
    for members in groups:
        columns = list(members)
        if support[columns].sum() < min_support:
            shared += columns
        else:
            values[columns] = grid[_best(mean_f1(curve[:, columns]), grid)]
    return Thresholds(kind, values, tuple(sorted(shared)))


def f1_curve(
    probabilities: NDArray[Any], targets: NDArray[Any], grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """F1 of each label at each threshold of the grid, (G, L), and its positive rows (L,).

    F1 is NaN where a label has neither a positive row nor a prediction.
    """
    import numpy as np

    known = ~np.isnan(targets)
    truth = np.where(known, targets, 0.0) >= 0.5
    support = truth.sum(axis=0)
    curve = np.full((len(grid), targets.shape[1]), np.nan)
    for label in range(targets.shape[1]):
        values = np.sort(probabilities[known[:, label], label])
        positive = np.sort(probabilities[known[:, label] & truth[:, label], label])
        predicted = len(values) - np.searchsorted(values, grid, side="left")
        true_positives = len(positive) - np.searchsorted(positive, grid, side="left")
        # F1 = 2 TP / (predicted positives + positives)
        total = predicted + support[label]
        curve[:, label] = np.where(total > 0, 2 * true_positives / np.maximum(total, 1), np.nan)
    return curve, support


def mean_f1(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the labels (G, L) whose F1 is defined, (G,); 0 where none is."""
    import numpy as np

    defined = ~np.isnan(curve)
    total: NDArray[np.float64] = np.where(defined, curve, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(defined.sum(axis=1), 1))


def _best(values: NDArray[np.float64], grid: NDArray[np.float64]) -> int:
    """The place of the best value; of equal ones that of the threshold nearest to 0.5."""
    import numpy as np

    best = np.flatnonzero(values >= values.max() - 1e-12)
    return int(best[np.abs(grid[best] - 0.5).argmin()])


def moved(probabilities: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities (n, L) bent so that each label's threshold is at 0.5; their order stays.

    So every metric at 0.5 is the metric at the tuned thresholds. The results are no probabilities
    and not to be calibrated.
    """
    import numpy as np

    # two straight lines: from 0 to the threshold, and from the threshold to 1
    below = np.minimum(0.5 * probabilities / values, np.nextafter(0.5, 0))
    above = np.maximum(0.5 + 0.5 * (probabilities - values) / (1 - values), 0.5)
    return np.asarray(np.where(probabilities >= values, above, below))


@dataclass(frozen=True)
class CrossFitted:
    """Thresholds of some rows, and the rows' probabilities bent by them (see `moved`).

    `tuned` are bent by thresholds that have seen them, `held_out` by thresholds of the other folds.
    A metric of `tuned` less that of `held_out` is its optimism: what tuning seems to gain.
    """

    thresholds: Thresholds
    tuned: NDArray[np.float64]
    held_out: NDArray[np.float64]


def cross_fitted(
    probabilities: NDArray[Any], targets: NDArray[Any], kind: Kind, seed: int = 0, **options: Any
) -> CrossFitted:
    """Thresholds tuned on these rows, and their worth with and without having seen them."""
    import numpy as np

    thresholds = fit_thresholds(probabilities, targets, kind, **options)
    folds = np.random.default_rng(seed).permutation(len(targets)) % FOLDS
    held_out = np.empty_like(probabilities, dtype=np.float64)
    for fold in range(FOLDS):
        others = folds != fold
        fitted = fit_thresholds(probabilities[others], targets[others], kind, **options)
        held_out[~others] = moved(probabilities[~others], fitted.values)
    return CrossFitted(thresholds, moved(probabilities, thresholds.values), held_out)

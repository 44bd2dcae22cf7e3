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
    """A threshold for each label, (L,); `shared` are the labels that had too few positive rows for
    one of their own.
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
    """The thresholds with the best F1 on these rows: probabilities and targets (n, L), NaN where a
    target is unknown.

    `global`: the one with the best mean F1 over labels. `per-label`: each label's own best;
    `per-group`: the best mean F1 of the group's labels (`groups` are label positions). Labels and
    groups with fewer than `min_support` positive rows take the global one. Of equally good
    thresholds the one nearest to 0.5 is taken.
    """
    import numpy as np

    labels = probabilities.shape[1]
    if kind == "fixed":
        return Thresholds(kind, np.full(labels, fixed))
    grid = np.arange(1, GRID + 1) / (GRID + 1)
    curve, support = f1_curve(probabilities, targets, grid)
    values = np.full(labels, grid[_best(mean_f1(curve), grid)])
    shared: list[int] = []
    parts: Sequence[Sequence[int]] = (
        [[i] for i in range(labels)]
        if kind == "per-label"
        else groups
        if kind == "per-group"
        else ()
    )
    for members in parts:
        columns = list(members)
        if support[columns].sum() < min_support:
            shared += columns
        else:
            values[columns] = grid[_best(mean_f1(curve[:, columns]), grid)]
    return Thresholds(kind, values, tuple(sorted(shared)))


def f1_curve(
    probabilities: NDArray[Any], targets: NDArray[Any], grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """F1 of each label at each threshold, (G, L), NaN where a label has neither a positive nor a
    prediction; and support (L,).
    """
    import numpy as np

    known = ~np.isnan(targets)
    truth = np.where(known, targets, 0.0) >= 0.5
    support = truth.sum(axis=0)
    curve = np.full((len(grid), targets.shape[1]), np.nan)
    for label in range(targets.shape[1]):
        rows = known[:, label]
        values, positive = (
            np.sort(probabilities[rows, label]),
            np.sort(probabilities[rows & truth[:, label], label]),
        )
        predicted = len(values) - np.searchsorted(values, grid, side="left")
        both = len(positive) - np.searchsorted(positive, grid, side="left")
        whole = predicted + support[label]
        curve[:, label] = np.where(whole > 0, 2 * both / np.maximum(whole, 1), np.nan)
    return curve, support


def mean_f1(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the labels whose F1 is defined; 0 where none is."""
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
    """Probabilities (n, L) bent so that each label's threshold comes to lie at 0.5; the order
    within a label stays.

    So every figure at 0.5 is the figure at the tuned thresholds. The result is no probability and
    not to be calibrated.
    """
    import numpy as np

    below = 0.5 * probabilities / values
    above = 0.5 + 0.5 * (probabilities - values) / (1 - values)
    return np.asarray(
        np.where(
            probabilities >= values, np.maximum(above, 0.5), np.minimum(below, np.nextafter(0.5, 0))
        )
    )


@dataclass(frozen=True)
class CrossFitted:
    """Thresholds of some rows, and the rows' probabilities bent by them (see `moved`).

    `tuned` are bent by thresholds that have seen them, `held_out` by thresholds of the other folds.
    A figure of `tuned` less that of `held_out` is its optimism: what tuning seems to gain and does
    not.
    """

    thresholds: Thresholds
    tuned: NDArray[np.float64]
    held_out: NDArray[np.float64]


def cross_fitted(
    probabilities: NDArray[Any], targets: NDArray[Any], kind: Kind, seed: int = 0, **options: Any
) -> CrossFitted:
    """Thresholds tuned on these rows, and what they are worth with and without having seen them."""
    import numpy as np

    whole = fit_thresholds(probabilities, targets, kind, **options)
    folds = np.random.default_rng(seed).permutation(len(targets)) % FOLDS
    held_out = np.empty_like(probabilities, dtype=np.float64)
    for fold in range(FOLDS):
        inside = folds != fold
        fitted = fit_thresholds(probabilities[inside], targets[inside], kind, **options)
        held_out[~inside] = moved(probabilities[~inside], fitted.values)
    return CrossFitted(whole, moved(probabilities, whole.values), held_out)

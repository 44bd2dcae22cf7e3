"""Metrics of agreement beyond chance: Matthews' correlation and Cohen's kappa."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads.declaration import Metrics


def agreement(truth: NDArray[Any], decided: NDArray[Any], labels: int) -> Metrics:
    """Both metrics of one decision a row among several labels, (n,) each.

    A metric is None where it is undefined: one side is the same label throughout.
    """
    import numpy as np

    # Gorodkin (2004): (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2)), and
    # Cohen (1960): (c/s - e) / (1 - e) with e = sum_k p_k t_k / s^2; s = rows, c = right, and p_k,
    # t_k the rows that are given the label k and that have it.
    rows, right = float(len(truth)), float((truth == decided).sum())
    t = np.bincount(truth, minlength=labels).astype(np.float64)
    p = np.bincount(decided, minlength=labels).astype(np.float64)
    chance = float((t * p).sum())
    spread = float((rows**2 - (p**2).sum()) * (rows**2 - (t**2).sum()))
    correlation = (right * rows - chance) / spread**0.5 if spread > 0 else None
    kappa = (right * rows - chance) / (rows**2 - chance) if rows**2 > chance else None
    return {"matthews_correlation": correlation, "cohen_kappa": kappa}


def binary_agreement(
    support: float, predicted: float, both: float, rows: float
) -> tuple[float | None, float | None]:
    """The same for one label that a row has or not, by its counts: (Matthews, Cohen)."""
    chance = support * predicted + (rows - support) * (rows - predicted)
    right = rows - support - predicted + 2 * both
    spread = support * (rows - support) * predicted * (rows - predicted)
    correlation = (both * rows - support * predicted) / spread**0.5 if spread > 0 else None
    kappa = (right * rows - chance) / (rows**2 - chance) if rows**2 > chance else None
    return correlation, kappa


def ordinal_agreement(truth: NDArray[Any], decided: NDArray[Any]) -> Metrics:
    """For labels in order, by their positions (n,): kappa with quadratic weights, and Pearson's r.

    A metric is None where it is undefined.
    """
    import numpy as np

    # Cohen (1968): kappa = 1 - sum w_ij O_ij / sum w_ij E_ij with w_ij = (i - j)^2, observed counts
    # O and expected ones E. The sums are n times the mean of (t - p)^2, and n times
    # E[t^2] + E[p^2] - 2 E[t] E[p].
    t, p = truth.astype(np.float64), decided.astype(np.float64)
    by_chance = float((t**2).mean() + (p**2).mean() - 2 * t.mean() * p.mean())
    kappa = 1 - float(((t - p) ** 2).mean()) / by_chance if by_chance > 0 else None
    spread = float(t.std() * p.std())
    covariance = float(((t - t.mean()) * (p - p.mean())).mean())
    correlation = covariance / spread if spread > 0 else None
    return {"quadratic_weighted_kappa": kappa, "pearson_r": correlation}

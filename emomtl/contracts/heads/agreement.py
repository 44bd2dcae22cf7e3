"""Metrics of agreement beyond chance: Matthews' correlation and Cohen's kappa, plain and with quadratic weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def agreement(truth: NDArray[Any], decided: NDArray[Any], labels: int) -> dict[str, float | None]:
    """Of one decision a row among several labels (n,): the two metrics; None where either side is one label throughout.

    With the number of rows s, of right ones c, and t_k and p_k rows that have and are given the label k: Matthews'
    correlation is (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)) (Gorodkin, 2004), Cohen's kappa is
    (c/s - e) / (1 - e) with e = sum p_k t_k / s^2 (Cohen, 1960).
    """
    import numpy as np

    rows, right = float(len(truth)), float((truth == decided).sum())
    true_rows = np.bincount(truth, minlength=labels).astype(np.float64)
    given_rows = np.bincount(decided, minlength=labels).astype(np.float64)
    chance = float((true_rows * given_rows).sum())
    spread = float((rows**2 - (given_rows**2).sum()) * (rows**2 - (true_rows**2).sum()))
    correlation = (right * rows - chance) / spread**0.5 if spread > 0 else None
    kappa = (right * rows - chance) / (rows**2 - chance) if rows**2 > chance else None
    return {"matthews_correlation": correlation, "cohen_kappa": kappa}


def binary_agreement(support: float, predicted: float, both: float, rows: float) -> tuple[float | None, float | None]:
    """The same of one label that a row has or has not, by its counts: (Matthews' correlation, Cohen's kappa)."""
    chance = support * predicted + (rows - support) * (rows - predicted)
    right = rows - support - predicted + 2 * both
    spread = support * (rows - support) * predicted * (rows - predicted)
    correlation = (both * rows - support * predicted) / spread**0.5 if spread > 0 else None
    kappa = (right * rows - chance) / (rows**2 - chance) if rows**2 > chance else None
    return correlation, kappa


def ordinal_agreement(truth: NDArray[Any], decided: NDArray[Any]) -> dict[str, float | None]:
    """Of labels in order, by their places (n,): kappa with quadratic weights and Pearson's correlation; None where undefined.

    Kappa is 1 - sum w_ij O_ij / sum w_ij E_ij with w_ij = (i - j)^2, the counts O and those by chance E (Cohen, 1968). The
    sums are the mean of (t - p)^2, and E[t^2] + E[p^2] - 2 E[t] E[p].
    """
    import numpy as np

    true, given = truth.astype(np.float64), decided.astype(np.float64)
    by_chance = float((true**2).mean() + (given**2).mean() - 2 * true.mean() * given.mean())
    kappa = 1 - float(((true - given) ** 2).mean()) / by_chance if by_chance > 0 else None
    spread = float(true.std() * given.std())
    correlation = float(((true - true.mean()) * (given - given.mean())).mean()) / spread if spread > 0 else None
    return {"quadratic_weighted_kappa": kappa, "pearson_r": correlation}

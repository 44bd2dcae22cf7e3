"""Calibrated probabilities: temperature and vector scaling, fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["temperature", "vector"]

RIDGE = 1e-3
"""Weight of the penalty on vector scaling, per label: a label with a handful of positive rows stays
near the temperature.
"""

LEAST = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logits are taken."""


@dataclass(frozen=True)
class Scaling:
    """Logits times `slope` plus `shift`, both (L,): one slope and no shift for a temperature (slope
    = 1 / T).
    """

    method: Method
    slope: NDArray[np.float64]
    shift: NDArray[np.float64]
    exclusive: bool

    @property
    def temperature(self) -> float:
        """1 / slope of the first label; the temperature where that is the method."""
        return float(1 / self.slope[0])

    def __call__(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Scaled probabilities (n, L)."""
        return _squash(
            _logits(probabilities, self.exclusive) * self.slope + self.shift, self.exclusive
        )


def fit_scaling(
    probabilities: NDArray[Any], targets: NDArray[Any], method: Method = "temperature"
) -> Scaling:
    """The scaling with the least negative log-likelihood on these rows (Guo et al. 2017, section
    4.2).

    Targets are (n, L) for labels that do not exclude each other (NaN: unknown), or (n,) label
    numbers, of which one holds. Vector scaling has a slope and a shift for each label, with a small
    ridge towards the temperature's.
    """
    import numpy as np
    from scipy import optimize

    exclusive = targets.ndim == 1
    logits = _logits(probabilities, exclusive)
    labels = logits.shape[1]

    def cost(slope: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
        return negative_log_likelihood(_squash(logits * slope + shift, exclusive), targets)

    found = optimize.minimize_scalar(
        lambda t: cost(np.full(labels, np.exp(-t)), np.zeros(labels)),
        bounds=(-4, 4),
        method="bounded",
    )
    start = np.full(labels, np.exp(-found.x))
    if method == "temperature":
        return Scaling(method, start, np.zeros(labels), exclusive)

    centre = np.concatenate([start, np.zeros(labels)])

    def penalised(both: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled, away = _squash(logits * both[:labels] + both[labels:], exclusive), both - centre
        by_logit = _gradient(scaled, targets)
        gradient = (
            np.concatenate([(by_logit * logits).sum(axis=0), by_logit.sum(axis=0)])
            + 2 * RIDGE / labels * away
        )
        return (
            negative_log_likelihood(scaled, targets) + RIDGE / labels * float((away**2).sum()),
            gradient,
        )

    best = optimize.minimize(penalised, centre, method="L-BFGS-B", jac=True).x
    return Scaling(method, best[:labels], best[labels:], exclusive)


def negative_log_likelihood(probabilities: NDArray[Any], targets: NDArray[Any]) -> float:
    """The mean over known targets of -log p of what is true."""
    import numpy as np

    kept = np.clip(probabilities, LEAST, 1 - LEAST)
    if targets.ndim == 1:
        return float(-np.log(kept[np.arange(len(targets)), targets]).mean())
    known = ~np.isnan(targets)
    true = np.where(known, targets, 0.0)
    each = -(true * np.log(kept) + (1 - true) * np.log1p(-kept))
    return float(each[known].mean())


def _gradient(probabilities: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """The derivative of `negative_log_likelihood` by each logit, (n, L): what is said less what is
    true, over what is counted.

    Numerical differences would take a look at all rows for each of 2 L parameters.
    """
    import numpy as np

    if targets.ndim == 1:
        rows = np.arange(len(targets))
        by_logit = probabilities / len(targets)
        by_logit[rows, targets] -= 1 / len(targets)
        by_logit[_cut(probabilities[rows, targets])] = 0.0
        return np.asarray(by_logit)
    known = ~np.isnan(targets)
    away = np.where(
        known & ~_cut(probabilities), probabilities - np.where(known, targets, 0.0), 0.0
    )
    return np.asarray(away / known.sum())


def _cut(probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """Which probabilities are so near to 0 or 1 that `LEAST` stands in for them, whatever the
    logit.
    """
    import numpy as np

    return np.asarray((probabilities < LEAST) | (probabilities > 1 - LEAST))


def _logits(probabilities: NDArray[Any], exclusive: bool) -> NDArray[np.float64]:
    import numpy as np

    kept = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept) if exclusive else np.log(kept) - np.log1p(-kept)


def _squash(logits: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    import numpy as np
    from scipy import special

    return np.asarray(special.softmax(logits, axis=1) if exclusive else special.expit(logits))

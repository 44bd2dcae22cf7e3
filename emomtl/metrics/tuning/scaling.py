"""Calibrated probabilities: temperature and vector scaling, fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["temperature", "vector"]

RIDGE = 1e-3
"""Weight of the penalty on vector scaling; by it rare labels stay near the temperature."""

LEAST = 1e-7
"""Probabilities are clipped this far from 0 and 1 before their logits are taken."""


@dataclass(frozen=True)
class Scaling:
    """Logits times `slope` plus `shift`, both (L,); a temperature T is a slope of 1 / T."""

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
        scaled = _logits(probabilities, self.exclusive) * self.slope + self.shift
        return _squash(scaled, self.exclusive)


def fit_scaling(
    probabilities: NDArray[Any], targets: NDArray[Any], method: Method = "temperature"
) -> Scaling:
    """The scaling with the least negative log-likelihood on these rows.

    Guo et al. (2017), section 4.2. Targets are (n, L) for labels that do not exclude each other
    (NaN: unknown), or label numbers (n,). Vector scaling has a slope and a shift for each label,
    with a small ridge towards the temperature's.
    """
    import numpy as np
    from scipy import optimize

    exclusive = targets.ndim == 1
    logits = _logits(probabilities, exclusive)
    labels = logits.shape[1]
    no_shift = np.zeros(labels)

    def loss_at(log_temperature: float) -> float:
        scaled = _squash(logits * np.exp(-log_temperature), exclusive)
        return negative_log_likelihood(scaled, targets)

    best = optimize.minimize_scalar(loss_at, bounds=(-4, 4), method="bounded")
    slope = np.full(labels, np.exp(-best.x))
    if method == "temperature":
        return Scaling(method, slope, no_shift, exclusive)

    # slopes, then shifts; the penalty is RIDGE / L times the squared distance from this centre
    centre = np.concatenate([slope, no_shift])

    def penalised(both: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = _squash(logits * both[:labels] + both[labels:], exclusive)
        distance = both - centre
        by_logit = _gradient(scaled, targets)
        gradient = np.concatenate([(by_logit * logits).sum(axis=0), by_logit.sum(axis=0)])
        penalty = RIDGE / labels * float((distance**2).sum())
        loss = negative_log_likelihood(scaled, targets) + penalty
        return loss, gradient + 2 * RIDGE / labels * distance

    fitted = optimize.minimize(penalised, centre, method="L-BFGS-B", jac=True).x
    return Scaling(method, fitted[:labels], fitted[labels:], exclusive)


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
    """The derivative of `negative_log_likelihood` by each logit, (n, L).

    For softmax and for sigmoids that is (p - y) over the number of targets. Numerical differences
    would compute all rows once for each of the 2 L parameters.
    """
    import numpy as np

    if targets.ndim == 1:
        rows = np.arange(len(targets))
        by_logit = probabilities / len(targets)
        by_logit[rows, targets] -= 1 / len(targets)
        by_logit[_is_clipped(probabilities[rows, targets])] = 0.0
        return np.asarray(by_logit)
    known = ~np.isnan(targets)
    difference = probabilities - np.where(known, targets, 0.0)
    counted = known & ~_is_clipped(probabilities)
    return np.asarray(np.where(counted, difference, 0.0) / known.sum())


def _is_clipped(probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """Which probabilities `LEAST` replaces, so that the loss does not depend on their logits."""
    import numpy as np

    return np.asarray((probabilities < LEAST) | (probabilities > 1 - LEAST))


def _logits(probabilities: NDArray[Any], exclusive: bool) -> NDArray[np.float64]:
    import numpy as np

    clipped = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(clipped) if exclusive else np.log(clipped) - np.log1p(-clipped)


def _squash(logits: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    import numpy as np
    from scipy import special

    return np.asarray(special.softmax(logits, axis=1) if exclusive else special.expit(logits))

"""How far probabilities are from what happens: expected calibration error, Brier score, reliability curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.metrics.tuning.scaling import negative_log_likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lies in one interval: how many, their mean probability, and the share that is true."""

    number: int
    probability: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """`ece` and its curve over `bins`, the mean squared error `brier`, and the mean negative log-likelihood."""

    ece: float
    brier: float
    negative_log_likelihood: float
    bins: tuple[Bin, ...]


def reliability(probabilities: NDArray[Any], targets: NDArray[Any], bins: int = BINS) -> Reliability:
    """Reliability of answers (n, L).

    With targets (n, L) every known label of every row is one answer, of its probability; with label numbers (n,) the most
    probable label of each row is, as in Guo et al. 2017. ECE is the mean over equally wide bins, by their size, of |share that
    is true - mean probability|. Brier: the mean squared difference over answers, or over rows of the sum over labels.
    """
    import numpy as np

    if targets.ndim == 1:
        top = probabilities.argmax(axis=1)
        confidence, true = probabilities[np.arange(len(top)), top], (top == targets).astype(float)
        brier = float(((probabilities - np.eye(probabilities.shape[1])[targets]) ** 2).sum(axis=1).mean())
    else:
        known = ~np.isnan(targets)
        confidence, true = probabilities[known], targets[known]
        brier = float(((confidence - true) ** 2).mean())
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            found.append(Bin(int(inside.sum()), float(confidence[inside].mean()), float(true[inside].mean())))
    ece = sum(one.number * abs(one.share - one.probability) for one in found) / len(confidence)
    return Reliability(float(ece), brier, negative_log_likelihood(probabilities, targets), tuple(found))

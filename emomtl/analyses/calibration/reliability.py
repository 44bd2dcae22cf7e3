"""How far probabilities are from what happens: expected calibration error, Brier score, reliability
curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.metrics.tuning.scaling import negative_log_likelihood
from emomtl.report.drawing import COLOURS, drawing, hover, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BINS = 15

SCALINGS = {
    "as trained": ("o", COLOURS[0]),
    "temperature": ("s", COLOURS[1]),
    "vector": ("^", COLOURS[2]),
}
"""Marker and colour of each scaling of probabilities."""


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lies in one interval: how many, their mean probability, and the
    share that is true.
    """

    number: int
    probability: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """`ece` and its curve over `bins`, the mean squared error `brier`, and the mean negative
    log-likelihood.
    """

    ece: float
    brier: float
    negative_log_likelihood: float
    bins: tuple[Bin, ...]


def reliability(
    probabilities: NDArray[Any], targets: NDArray[Any], bins: int = BINS
) -> Reliability:
    """Reliability of answers (n, L).

    With targets (n, L) every known label of every row is one answer, of its probability; with label
    numbers (n,) the most probable label of each row is, as in Guo et al. 2017. ECE is the mean over
    equally wide bins, by their size, of |share that is true - mean probability|. Brier: the mean
    squared difference over answers, or over rows of the sum over labels.
    """
    if targets.ndim == 1:
        top = probabilities.argmax(axis=1)
        confidence, true = probabilities[np.arange(len(top)), top], (top == targets).astype(float)
        one_hot = np.eye(probabilities.shape[1])[targets]
        brier = float(((probabilities - one_hot) ** 2).sum(axis=1).mean())
    else:
        known = ~np.isnan(targets)
        confidence, true = probabilities[known], targets[known]
        brier = float(((confidence - true) ** 2).mean())
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    curve = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            mean, share = float(confidence[inside].mean()), float(true[inside].mean())
            curve.append(Bin(int(inside.sum()), mean, share))
    # expected calibration error (Guo et al. 2017, equation 3): sum_m |B_m| / n |acc - conf|
    ece = sum(one.number * abs(one.share - one.probability) for one in curve) / len(confidence)
    likelihood = negative_log_likelihood(probabilities, targets)
    return Reliability(float(ece), brier, likelihood, tuple(curve))


def reliability_figure(
    task: str, rows: Mapping[str, int], reliabilities: Mapping[tuple[str, str], Reliability]
) -> Figure:
    """A panel a split, a line a scaling, with ECE and Brier score; points say what is in them.

    `rows` are the numbers of rows by split, `reliabilities` by (scaling, split).
    """
    from matplotlib.figure import Figure

    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(5.2 * len(rows), 5.0), layout="constrained")
        for number, split in enumerate(rows):
            axes = figure.add_subplot(1, len(rows), number + 1)
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
            for name, (marker, colour) in SCALINGS.items():
                measured = reliabilities[name, split]
                probabilities = [one.probability for one in measured.bins]
                shares = [one.share for one in measured.bins]
                label = f"{name} (ECE {measured.ece:.3f}, Brier {measured.brier:.3f})"
                look: dict[str, Any] = {"marker": marker, "color": colour}
                axes.plot(probabilities, shares, label=label, markersize=4, **look)
                for one in measured.bins:
                    text = (
                        f"{name}: predicted {one.probability:.3f}, true {one.share:.3f},"
                        f" {one.number:,} predictions"
                    )
                    axes.plot([one.probability], [one.share], markersize=5, gid=hover(text), **look)
            axes.set_title(f"{split} ({rows[split]:,} rows)")
            axes.set_xlabel("predicted probability")
            axes.set_ylabel("share that is true")
            axes.set_aspect("equal")
            axes.legend(fontsize=8, loc="upper left")
        figure.suptitle(f"{named(task)}: reliability", parse_math=False)
    return figure

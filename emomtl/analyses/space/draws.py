"""Numbers with their uncertainty: one bootstrap over texts, the same for every run, so that differences are paired.

scipy.stats.bootstrap draws anew for each call, so two runs would not share their samples; the samples here are ours, and a test
holds their intervals against scipy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl.metrics.significance import defined
from emomtl.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1_000
"""Samples of the bootstrap."""

LEVEL = 0.95
"""The part of the samples that an interval holds, the rest in equal parts below and above."""


@dataclass(frozen=True)
class Figure:
    """A number with what it takes to judge it.

    `draws` (B,) are its values on the bootstrap's samples; `chance` what is to be expected without any structure; `shuffled`
    the same for a model's own wrong answers, dealt anew among the texts; `p` the one-sided p-value of a permutation test;
    `bounds` what the number cannot leave.
    """

    value: float | None
    draws: NDArray[np.float64] | None = None
    chance: float | None = None
    shuffled: float | None = None
    p: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% percentile interval of the draws, moved so that their mean is the value.

        A sample drawn with replacement has fewer texts that differ, so its centroids are noisier than the texts' own, and what is
        made of them (distances, ratios) is off to one side by that. Moving takes this bias out; means of texts have none.
        None where more than `MOST_UNDEFINED` of the draws are undefined; fewer are left out.
        """
        import numpy as np

        if self.value is None or self.draws is None:
            return None
        known = defined(self.draws)
        if known is None:
            return None
        moved = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]) - known.mean() + self.value
        low, high = np.clip(moved, *self.bounds)
        return float(low), float(high)

    def minus(self, other: Figure) -> Figure:
        """The difference of two figures over the same samples, its interval paired."""
        if self.value is None or other.value is None:
            return Figure(None)
        paired = None if self.draws is None or other.draws is None else self.draws - other.draws
        return Figure(self.value - other.value, paired)


def draw_counts(labels: NDArray[np.int64], seed: int, resamples: int = RESAMPLES) -> NDArray[np.float32]:
    """How often each text is drawn in each sample (B, n): with replacement, within each label as many as it has.

    Drawing within labels keeps every label in every sample, however few texts it has.
    """
    import numpy as np

    random = generator(seed, "bootstrap")
    counts = np.zeros((resamples, len(labels)), np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        counts[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return counts


def mean_figure(
    values: NDArray[np.float64],
    included: NDArray[np.bool_],
    counts: NDArray[np.float32],
    chance: float | None = None,
    shuffled: float | None = None,
    p: float | None = None,
) -> Figure:
    """The mean of a value per text (n,) over the texts that are `included` (n,), undefined where there is none."""
    import numpy as np

    if not included.any():
        return Figure(None)
    kept = np.where(included, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (counts @ kept) / (counts @ included.astype(np.float64))
    return Figure(float(values[included].mean()), np.asarray(draws, np.float64), chance, shuffled, p)

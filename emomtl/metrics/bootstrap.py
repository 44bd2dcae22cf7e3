"""The bootstrap: samples of rows, metrics on them, and percentile intervals.

All runs with equally many rows use the same samples, so that differences between them are paired.
scipy.stats.bootstrap draws anew for each call; a test holds these intervals against scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.metrics.predictions import MetricFunction, TaskPredictions

LEVEL = 0.95
"""The coverage of every interval."""

RESAMPLES = 1000
"""Bootstrap samples."""

MOST_UNDEFINED = 0.01
"""The share of bootstrap samples in which a metric may be undefined; with more, no interval."""

BLOCK = 50
"""Samples of many rows whose F1 by label is computed at once, to bound memory."""

UNBOUNDED = (-math.inf, math.inf)
"""The bounds of a metric that can be any number."""


def sample_rows(rows: int, number: int = RESAMPLES, seed: int = 0) -> NDArray[np.int32]:
    """Bootstrap samples of row numbers, (number, rows), drawn with replacement."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, rows, size=(number, rows), dtype=np.int32)


def sample_blocks(rows: int, number: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[Any]]:
    """The samples of `sample_rows` in blocks of `BLOCK`, for rows that do not fit into memory."""
    import numpy as np

    random = np.random.default_rng(seed)
    for start in range(0, number, BLOCK):
        size = (min(BLOCK, number - start), rows)
        yield random.integers(0, rows, size=size, dtype=np.int32)


def row_counts(samples: NDArray[Any], rows: int) -> NDArray[np.float32]:
    """How often each row is in each sample, (number, rows)."""
    import numpy as np

    counts = [np.bincount(sample, minlength=rows) for sample in samples]
    return np.stack(counts).astype(np.float32)


def stratified_counts(
    labels: NDArray[np.int64], seed: int, number: int = RESAMPLES
) -> NDArray[np.float32]:
    """How often each row is drawn, (number, n), with replacement among the rows of its own label.

    Drawing within labels (n,) keeps every label in every sample, however few rows it has.
    """
    import numpy as np

    random = generator(seed, "bootstrap")
    counts = np.zeros((number, len(labels)), np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        uniform = np.full(len(members), 1 / len(members))
        counts[:, members] = random.multinomial(len(members), uniform, size=number)
    return counts


def over_samples(
    metric: MetricFunction, predictions: TaskPredictions, samples: NDArray[Any]
) -> NDArray[Any]:
    """The metric on every bootstrap sample, (number,)."""
    import numpy as np

    from emomtl.metrics.predictions import HeadMetric

    if isinstance(metric, HeadMetric):  # a head may compute all samples at once
        return metric.on_samples(predictions, samples)
    return np.array([metric(predictions.rows(rows)) for rows in samples])


def label_f1(truth: NDArray[Any], predicted: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """The F1 of each label, (number, L), where rows count `weights` (number, n) times.

    `truth` and `predicted` (n, L) are 0 or 1. NaN where a label is neither true nor predicted.
    """
    import numpy as np

    # F1 = 2 TP / (positives + predicted positives)
    true_positives = weights @ (truth * predicted)
    positives = weights @ (truth + predicted)
    undefined = np.full_like(positives, np.nan)
    return np.asarray(np.divide(2 * true_positives, positives, out=undefined, where=positives > 0))


def bootstrap_label_f1(
    truth: NDArray[Any], predicted: NDArray[Any], number: int = RESAMPLES, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The F1 of each label (L,), and on every bootstrap sample (number, L); see `label_f1`."""
    import numpy as np

    rows = len(truth)
    value = label_f1(truth, predicted, np.ones((1, rows), dtype=np.float32))[0]
    draws = [np.empty((0, truth.shape[1]), np.float32)]
    for block in sample_blocks(rows, number, seed):
        draws.append(label_f1(truth, predicted, row_counts(block, rows)))
    return value, np.concatenate(draws)


def defined(draws: NDArray[Any]) -> NDArray[Any] | None:
    """The finite values among bootstrap draws; None where more than `MOST_UNDEFINED` are not.

    To leave out draws is to ask only of those samples in which the metric exists. That changes
    little where they are few, and answers another question where they are many.
    """
    import numpy as np

    finite = np.isfinite(draws)
    if not len(draws) or np.count_nonzero(~finite) > MOST_UNDEFINED * len(draws):
        return None
    return np.asarray(draws[finite])


def percentile_interval(draws: NDArray[Any]) -> tuple[float, float] | None:
    """The interval that leaves out equally many draws below and above; None: see `defined`."""
    import numpy as np

    finite = defined(draws)
    if finite is None:
        return None
    low, high = np.quantile(finite, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


@dataclass(frozen=True)
class BootstrapEstimate:
    """A value (None: undefined) with its bootstrap draws (B,), and what it is judged by.

    `chance` is what to expect without any structure; `shuffled` the same for a model's own wrong
    predictions, dealt anew among the texts; `p` the one-sided p-value of a permutation test;
    `bounds` what the value cannot leave.
    """

    value: float | None
    draws: NDArray[np.float64] | None = None
    chance: float | None = None
    shuffled: float | None = None
    p: float | None = None
    bounds: tuple[float, float] = UNBOUNDED

    @property
    def interval(self) -> tuple[float, float] | None:
        """The percentile interval of the draws, moved so that their mean is the value.

        A sample drawn with replacement has fewer distinct texts, so its centroids are noisier than
        the texts' own, which shifts distances and ratios to one side. Moving removes this bias;
        means have none. None where too many draws are undefined (`defined`).
        """
        import numpy as np

        if self.value is None or self.draws is None:
            return None
        ends = percentile_interval(self.draws)
        if ends is None:
            return None
        bias = self.draws[np.isfinite(self.draws)].mean() - self.value
        low, high = np.clip(np.asarray(ends) - bias, *self.bounds)
        return float(low), float(high)

    def minus(self, other: BootstrapEstimate) -> BootstrapEstimate:
        """The difference of two values over the same samples, so that its interval is paired."""
        if self.value is None or other.value is None:
            return BootstrapEstimate(None)
        draws = None
        if self.draws is not None and other.draws is not None:
            draws = self.draws - other.draws
        return BootstrapEstimate(self.value - other.value, draws)

    def as_json(self) -> dict[str, float | None]:
        """Value and interval, and of the rest what is known."""
        low, high = self.interval or (None, None)
        numbers = {"value": self.value, "low": low, "high": high}
        known = {"chance": self.chance, "shuffled": self.shuffled, "p": self.p}
        return numbers | {name: number for name, number in known.items() if number is not None}


def bootstrap_mean(
    values: NDArray[np.float64],
    included: NDArray[np.bool_],
    counts: NDArray[np.float32],
    chance: float | None = None,
    shuffled: float | None = None,
    p: float | None = None,
) -> BootstrapEstimate:
    """The mean of a value per text (n,) over the `included` texts (n,); undefined without any.

    `counts` (B, n) are those of `stratified_counts`.
    """
    import numpy as np

    if not included.any():
        return BootstrapEstimate(None)
    masked = np.where(included, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (counts @ masked) / (counts @ included.astype(np.float64))
    mean = float(values[included].mean())
    return BootstrapEstimate(mean, np.asarray(draws, np.float64), chance, shuffled, p)

"""Intervals for another draw of seeds and of rows, and Student's for independent measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError
from emomtl.metrics.bootstrap import LEVEL, RESAMPLES, UNBOUNDED, defined, over_samples, sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.metrics.predictions import MetricFunction, TaskPredictions

LEAST_P = 1e-100
"""Smaller p-values are not told apart, so that none is zero."""

ROUNDING = 1e-12
"""A relative error below this is rounding: then nothing varied."""


@lru_cache(maxsize=1024)
def _students_t(alpha: float, degrees: int) -> float:
    """What Student's t exceeds on either side with a probability of `alpha`."""
    from scipy import stats

    return float(stats.t.isf(alpha / 2, degrees))


@dataclass(frozen=True)
class MeanInterval:
    """The mean of `n` measurements with its standard deviation and Student's interval.

    `sd` and the interval are None with fewer than two measurements.
    """

    n: int
    mean: float | None
    sd: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on one side of 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def as_json(self) -> dict[str, float | int | None]:
        """The numbers by name."""
        return asdict(self)


def mean_interval(values: NDArray[Any]) -> MeanInterval:
    """Student's interval of the mean of measurements (n,): mean ± t sd / sqrt(n).

    It assumes independent measurements. Steps of one run resemble each other, so for them it is
    rather too narrow. NaN counts as not measured.
    """
    import numpy as np

    known = values[~np.isnan(values)]
    if len(known) < 2:
        return MeanInterval(len(known), float(known[0]) if len(known) else None)
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    half = _students_t(1 - LEVEL, len(known) - 1) * sd / math.sqrt(len(known))
    return MeanInterval(len(known), mean, sd, mean - half, mean + half)


@dataclass(frozen=True)
class Spread:
    """The mean of a metric over seeds and its standard deviation (n - 1); None with one seed."""

    mean: float
    sd: float | None
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.sd is None else f"{self.mean:.4f} ± {self.sd:.4f}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation over seeds."""
    import numpy as np

    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95% interval and its standard error; None where it is undefined.

    `undefined` counts the bootstrap samples in which the metric is undefined for a seed; with more
    than `bootstrap.MOST_UNDEFINED` of them there is no interval. `clipped` says that the interval
    would have reached beyond what the metric can be, and ends there.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    undefined: int = 0
    clipped: bool = False

    @property
    def undefined_note(self) -> str:
        """In how many samples the metric is undefined, and what follows; "" where in none."""
        if not self.undefined:
            return ""
        consequence = "so there is no interval" if self.low is None else "which are left out"
        samples = f"{self.undefined:,} of {RESAMPLES:,} bootstrap samples"
        return f"undefined in {samples}, {consequence}"


@dataclass(frozen=True)
class Variance:
    """The variance of a mean over `seeds` seeds and `rows` rows, in parts; see `_variance`.

    `of_seeds` is S²/K, `shared` what the rows do to all seeds alike, and `of_rows` the variance
    over rows alone, which no interval may fall below.
    """

    of_seeds: float
    shared: float
    of_rows: float
    seeds: int
    rows: int

    def half_width(self, alpha: float) -> float:
        """Half the width of the interval that misses with a probability of at most `alpha`.

        h² = t(K-1)² · of_seeds + t(n-1)² · shared: the intervals of two independent parts, added
        in squares. Coverage is at least 1 - alpha for normal parts with any variances (Banerjee
        1960, Sankhya 22, 357-358). Welch's and Satterthwaite's one t over the sum of the variances
        has no such bound: with two seeds it covered in 0.87 to 0.91 where both parts matter.
        """
        t_rows = _students_t(alpha, self.rows - 1)
        t_seeds = _students_t(alpha, self.seeds - 1) if self.seeds > 1 else 0.0
        both = math.hypot(t_seeds * math.sqrt(self.of_seeds), t_rows * math.sqrt(self.shared))
        return max(both, t_rows * math.sqrt(self.of_rows))

    def p_value(self, value: float) -> float:
        """The alpha at which the interval around `value` just reaches zero; at least `LEAST_P`."""
        from scipy.optimize import brentq

        if value == 0:
            return 1.0
        if self.half_width(LEAST_P) <= abs(value):
            return LEAST_P
        # half_width() falls from above |value| to 0 while alpha rises to 1; logarithms keep small
        # p-values exact
        root = brentq(
            lambda log: self.half_width(math.exp(log)) - abs(value), math.log(LEAST_P), 0.0
        )
        return math.exp(root)

    @property
    def standard_error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(max(self.of_seeds + self.shared, self.of_rows))


def _variance(values: Sequence[float], draws: NDArray[Any], rows: int) -> Variance:
    """The parts of the variance of the seeds' mean, from bootstrap draws (K, B) over n rows.

    Two-way crossed random effects, as all seeds predict the same rows: the metric of seed k is
    mu + s_k + r + e_k, with s the seed, r what the rows do to all seeds, e what they do to one. So
    Var(mean) = var(s)/K + var(r) + var(e)/K, and
    S²/K (S² over seeds, K - 1 degrees of freedom) estimates var(s)/K + var(e)/K;
    the bootstrap variance of the seeds' mean, `of_rows`, estimates var(r) + var(e)/K;
    that of the seeds' deviations from it, summed over seeds and divided by K - 1, var(e).
    These are the mean squares of the analysis of variance, (MS_seeds + MS_rows - MS_rest) / (K n).
    """
    import numpy as np

    seeds = len(values)
    unbiased = rows / (rows - 1)  # the bootstrap's variance of a mean is (n - 1)/n of the true one
    mean = draws.mean(axis=0)
    of_rows = float(mean.var(ddof=1)) * unbiased
    if seeds == 1:
        return Variance(0.0, of_rows, of_rows, seeds, rows)
    own = float((draws - mean).var(axis=1, ddof=1).sum()) / (seeds - 1) * unbiased  # var(e)
    of_seeds = float(np.var(values, ddof=1)) / seeds
    return Variance(of_seeds, max(of_rows - own / seeds, 0.0), of_rows, seeds, rows)


def estimate(
    values: Sequence[float],
    sampled: Sequence[NDArray[Any]],
    rows: int,
    *,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Estimate:
    """The mean over seeds with an interval for another draw of both seeds and rows.

    `values` are the seeds' metrics, `sampled` the same on the same bootstrap samples of `rows`
    rows. The interval ends at `bounds`. With one seed only rows vary, and the interval says nothing
    of seeds. There is no interval where a seed's metric is undefined, where it is in too many
    samples (`bootstrap.MOST_UNDEFINED`), with fewer than two rows, and where nothing varies: a
    variance of zero is one that was not seen, not one that is not there.
    """
    return estimate_and_variance(values, sampled, rows, bounds)[0]


def estimate_and_variance(
    values: Sequence[float], sampled: Sequence[NDArray[Any]], rows: int, bounds: tuple[float, float]
) -> tuple[Estimate, Variance | None]:
    """The estimate and the variance behind its interval; None where there is no interval."""
    import numpy as np

    draws = np.stack(sampled)
    is_defined = np.isfinite(draws).all(axis=0)
    undefined = int(np.count_nonzero(~is_defined))
    if not np.isfinite(values).all():
        return Estimate(None, undefined=undefined), None
    mean = float(np.mean(values))
    if rows < 2 or defined(np.where(is_defined, draws[0], np.nan)) is None:
        return Estimate(mean, undefined=undefined), None
    variance = _variance(values, draws[:, is_defined], rows)
    if variance.standard_error <= ROUNDING * max(abs(mean), float(np.abs(values).max())):
        if not np.any(draws[:, is_defined]) and mean == 0:
            # equal predictions in every sample: a difference of exactly nothing
            return Estimate(0.0, 0.0, 0.0, 0.0, undefined), variance
        return Estimate(mean, undefined=undefined), None
    half = variance.half_width(1 - LEVEL)
    low, high = max(mean - half, bounds[0]), min(mean + half, bounds[1])
    clipped = low > mean - half or high < mean + half
    return Estimate(mean, low, high, variance.standard_error, undefined, clipped), variance


class SampledMetric:
    """A metric over bootstrap samples, computed once for each run and kept.

    A reference is compared with many runs. All runs with equally many rows use the same samples,
    so their comparisons are paired.
    """

    def __init__(
        self,
        metric: MetricFunction,
        *,
        bounds: tuple[float, float] = UNBOUNDED,
        number: int = RESAMPLES,
    ) -> None:
        self.metric, self.bounds, self.number = metric, bounds, number
        self._samples: dict[int, NDArray[Any]] = {}
        # The predictions are kept beside their draws, so that no other object gets their id.
        self._draws: dict[int, tuple[TaskPredictions, NDArray[Any]]] = {}

    def __call__(self, predictions: TaskPredictions) -> NDArray[Any]:
        """The metric on every sample, (number,)."""
        rows = len(predictions)
        if rows not in self._samples:
            self._samples[rows] = sample_rows(rows, self.number)
        if id(predictions) not in self._draws:
            draws = over_samples(self.metric, predictions, self._samples[rows])
            self._draws[id(predictions)] = (predictions, draws)
        return self._draws[id(predictions)][1]

    def estimate(self, by_seed: Sequence[TaskPredictions]) -> Estimate:
        """The mean over seeds; EmomtlError where they were scored on different rows."""
        if not all(predictions.same_rows_as(by_seed[0]) for predictions in by_seed):
            finding = "its seeds were scored on different test rows"
            raise EmomtlError(finding, remedy="score all on the same corpus")
        values = [self.metric(predictions) for predictions in by_seed]
        sampled = [self(predictions) for predictions in by_seed]
        return estimate(values, sampled, len(by_seed[0]), bounds=self.bounds)

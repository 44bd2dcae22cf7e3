"""What can be said of a difference between two rows of a study: intervals, tests, and a verdict.

Two things vary: the seed of a run, and the rows that happen to be in the test split. Both are in every interval here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError
from emomtl.metrics.verdicts import Claimed, Judgement, Verdict, weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head

LEVEL = 0.95
"""The coverage of every interval."""

POWER = 0.8
"""The power at which a minimum detectable difference is stated."""

RESAMPLES = 1000
"""Bootstrap samples of the test rows."""

MOST_UNDEFINED = 0.01
"""The share of bootstrap samples that may be undefined; with more of them there is no interval."""

UNDEFINED = "undefined: no verdict"
"""What `emomtl compare` says of a difference that is undefined, or whose interval is."""

UNBOUNDED = (-math.inf, math.inf)
"""The bounds of a metric that can be any number."""

LEAST_P = 1e-100
"""Smaller p are not told apart, so that none is zero."""

ROUNDING = 1e-12
"""A relative error below this is rounding: then nothing varied."""


@dataclass(frozen=True)
class Answers:
    """What one run answered on a split: targets (n, ...) and probabilities (n, L), row by row as every other run's."""

    targets: NDArray[Any]
    probabilities: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def same_rows_as(self, other: Answers) -> bool:
        """Whether the two answered rows with the same targets, in the same order."""
        import numpy as np

        return bool(np.array_equal(self.targets, other.targets, equal_nan=self.targets.dtype.kind == "f"))


Figure = Callable[[Answers], float]
"""A figure of some answers, such as their macro F1; NaN where it is undefined."""


def figure_of(head: Head, metric: str) -> Figure:
    """A head's figure by its name, as a function of answers."""

    def figure(answers: Answers) -> float:
        value = head.metric(metric, answers.targets, answers.probabilities)
        return math.nan if value is None else value

    return figure


@dataclass(frozen=True)
class Spread:
    """The mean of some seeds' figures, and their standard deviation (n - 1); None with one seed."""

    mean: float
    sd: float | None
    seeds: int


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95% interval and its standard error; None where it is undefined.

    `undefined` counts the bootstrap samples in which the metric is undefined for a seed. With more
    than `MOST_UNDEFINED` of them there is no interval. `clipped` says that the interval would have
    reached beyond what the metric can be, and ends there.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    undefined: int = 0
    clipped: bool = False

    @property
    def undefined_samples(self) -> str:
        """`undefined` in words, for a note."""
        return f"{self.undefined:,} of {RESAMPLES:,} bootstrap samples"


@dataclass(frozen=True)
class Comparison:
    """A row against the reference: the difference with its interval, tests, effect size, verdict.

    `p` is of the test that belongs to the interval, `p_holm` the same corrected over the table,
    `p_mcnemar` of McNemar's exact test on whole rows right or wrong, None of numbers, which are
    neither. `effect` is the difference in standard deviations over seeds. `detectable` is the
    smallest difference that such an experiment finds with a power of 80%. All are None where the
    difference or its interval is undefined: then there is no verdict either. `verdict` and
    `reason` are those on the claim that the row is better than its reference.
    """

    difference: Estimate
    p: float | None
    p_holm: float | None
    p_mcnemar: float | None
    effect: float | None
    detectable: float | None
    seeds: int
    verdict: Verdict = "untested"
    reason: str = ""


def as_json(found: Estimate | Comparison) -> dict[str, Any]:
    """What JSON can hold: what is undefined is null."""
    return asdict(found)


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation over seeds."""
    import numpy as np

    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values))


def resamples(rows: int, number: int, seed: int) -> NDArray[Any]:
    """Bootstrap samples (number, rows) of row numbers, the same for every run of a table, so that comparisons are paired."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, rows, size=(number, rows), dtype=np.int32)


def draw_weights(samples: NDArray[Any], rows: int) -> NDArray[Any]:
    """How often each of the rows is in each bootstrap sample, (number, rows)."""
    import numpy as np

    return np.stack([np.bincount(sample, minlength=rows) for sample in samples]).astype(np.float32)


def weighted_f1(truth: NDArray[Any], said: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """The F1 of each label over rows that count `weights` (number, n) times, (number, L); NaN where it is neither true nor said.

    `truth` and `said` (n, L) are 1 where a label is true and where it was answered, else 0.
    """
    import numpy as np

    hits, found = weights @ (truth * said), weights @ (truth + said)
    return np.asarray(np.divide(2 * hits, found, out=np.full_like(found, np.nan), where=found > 0))


def over_samples(figure: Figure, answers: Answers, samples: NDArray[Any]) -> NDArray[Any]:
    """The figure on every bootstrap sample, (number,)."""
    import numpy as np

    return np.array([figure(Answers(answers.targets[rows], answers.probabilities[rows])) for rows in samples])


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


@lru_cache(maxsize=1024)
def _students_t(alpha: float, freedom: int) -> float:
    """What Student's t exceeds on either side with a probability of `alpha`."""
    from scipy import stats

    return float(stats.t.isf(alpha / 2, freedom))


@dataclass(frozen=True)
class _Noise:
    """The variance of a mean over seeds, in parts, with the numbers of seeds and of rows.

    `by_seeds` is S²/K, `shared` what the rows do to all seeds alike, and `by_rows` the variance
    over rows alone, which no interval may fall below. Formulas: `_noise`.
    """

    by_seeds: float
    shared: float
    by_rows: float
    seeds: int
    rows: int

    def half(self, alpha: float) -> float:
        """Half the width of the interval that misses with a probability of at most `alpha`.

        h² = t(K-1)² · by_seeds + t(n-1)² · shared: the intervals of two independent parts, added
        in squares. Coverage is at least 1 - alpha for normal parts with any variances (Banerjee
        1960, Sankhya 22, 357-358). Welch's and Satterthwaite's one t over the sum of the variances
        has no such bound: with two seeds it covered in 0.87 to 0.91 where both parts matter.
        """
        of_rows = _students_t(alpha, self.rows - 1)
        of_seeds = _students_t(alpha, self.seeds - 1) if self.seeds > 1 else 0.0
        both = math.hypot(of_seeds * math.sqrt(self.by_seeds), of_rows * math.sqrt(self.shared))
        return max(both, of_rows * math.sqrt(self.by_rows))

    def p(self, value: float) -> float:
        """The alpha at which the interval around `value` just reaches zero; at least `LEAST_P`."""
        from scipy.optimize import brentq

        if value == 0:
            return 1.0
        if self.half(LEAST_P) <= abs(value):
            return LEAST_P
        # half() falls from above |value| to 0 while alpha rises to 1; logarithms keep small p exact
        root = brentq(lambda log: self.half(math.exp(log)) - abs(value), math.log(LEAST_P), 0.0)
        return math.exp(root)

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(max(self.by_seeds + self.shared, self.by_rows))


def _noise(figures: Sequence[float], draws: NDArray[Any], rows: int) -> _Noise:
    """The parts of the noise of the seeds' mean, from bootstrap draws (K, B) over n rows.

    Two-way crossed random effects, as all seeds answer the same rows: the metric of seed k is
    mu + s_k + r + e_k, with s the seed, r what the rows do to all seeds, e what they do to one. So
    Var(mean) = var(s)/K + var(r) + var(e)/K, and
    S²/K (S² over seeds, K - 1 degrees of freedom) estimates var(s)/K + var(e)/K;
    the bootstrap variance of the seeds' mean, `by_rows`, estimates var(r) + var(e)/K;
    that of the seeds' deviations from it, summed over seeds and divided by K - 1, var(e).
    These are the mean squares of the analysis of variance, (MS_seeds + MS_rows - MS_rest) / (K n).
    """
    import numpy as np

    seeds = len(figures)
    unbiased = rows / (rows - 1)  # the bootstrap's variance of a mean is (n - 1)/n of the true one
    mean = draws.mean(axis=0)
    by_rows = float(mean.var(ddof=1)) * unbiased
    if seeds == 1:
        return _Noise(0.0, by_rows, by_rows, seeds, rows)
    own = float((draws - mean).var(axis=1, ddof=1).sum()) / (seeds - 1) * unbiased
    by_seeds = float(np.var(figures, ddof=1)) / seeds
    return _Noise(by_seeds, max(by_rows - own / seeds, 0.0), by_rows, seeds, rows)


def estimate(
    figures: Sequence[float],
    sampled: Sequence[NDArray[Any]],
    rows: int,
    *,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Estimate:
    """The mean over seeds with an interval for another draw of both seeds and rows.

    `figures` are the seeds' metrics, `sampled` the same on the same bootstrap samples of `rows`
    rows. The interval ends at `bounds`. With one seed only rows vary, and the interval says nothing
    of seeds. There is no interval where a seed's metric is undefined, where it is in too many
    samples (`MOST_UNDEFINED`), with fewer than two rows, and where nothing varies: a noise of zero
    is one that was not seen, not one that is not there.
    """
    return _estimated(figures, sampled, rows, bounds)[0]


def _estimated(
    figures: Sequence[float],
    sampled: Sequence[NDArray[Any]],
    rows: int,
    bounds: tuple[float, float],
) -> tuple[Estimate, _Noise | None]:
    """The estimate, and the noise that its interval is made of; None where there is no interval."""
    import numpy as np

    draws = np.stack(sampled)
    whole = np.isfinite(draws).all(axis=0)
    undefined = int(np.count_nonzero(~whole))
    if not np.isfinite(figures).all():
        return Estimate(None, undefined=undefined), None
    value = float(np.mean(figures))
    if rows < 2 or defined(np.where(whole, draws[0], np.nan)) is None:
        return Estimate(value, undefined=undefined), None
    noise = _noise(figures, draws[:, whole], rows)
    if noise.error <= ROUNDING * max(abs(value), float(np.abs(figures).max())):
        if not np.any(draws[:, whole]) and value == 0:
            # equal answers in every sample: a difference of exactly nothing
            return Estimate(0.0, 0.0, 0.0, 0.0, undefined), noise
        return Estimate(value, undefined=undefined), None
    half = noise.half(1 - LEVEL)
    low, high = max(value - half, bounds[0]), min(value + half, bounds[1])
    clipped = low > value - half or high < value + half
    return Estimate(value, low, high, noise.error, undefined, clipped), noise


class Sampled:
    """A metric over bootstrap samples, computed once for each run, as the reference is compared with many.

    The samples of a number of rows are the same for all runs with so many, so comparisons are paired.
    """

    def __init__(self, figure: Figure, *, bounds: tuple[float, float] = UNBOUNDED, number: int = RESAMPLES) -> None:
        self.figure, self.bounds, self.number = figure, bounds, number
        self._samples: dict[int, NDArray[Any]] = {}
        self._kept: dict[int, tuple[Answers, NDArray[Any]]] = {}

    def samples(self, rows: int) -> NDArray[Any]:
        """The bootstrap samples of so many rows."""
        if rows not in self._samples:
            self._samples[rows] = resamples(rows, self.number, seed=0)
        return self._samples[rows]

    def __call__(self, answers: Answers) -> NDArray[Any]:
        """The metric on every sample, (number,)."""
        if id(answers) not in self._kept:
            drawn = over_samples(self.figure, answers, self.samples(len(answers)))
            self._kept[id(answers)] = (answers, drawn)
        return self._kept[id(answers)][1]

    def estimate(self, answers: Sequence[Answers]) -> Estimate:
        """The mean over seeds that answered the same rows; EmomtlError where they answered others."""
        if any(not one.same_rows_as(answers[0]) for one in answers):
            found = "its seeds were scored on different test rows"
            raise EmomtlError(found, remedy="score all on the same corpus")
        figures, sampled = [self.figure(one) for one in answers], [self(one) for one in answers]
        return estimate(figures, sampled, len(answers[0]), bounds=self.bounds)


def compare(
    sampled: Sampled,
    row: Mapping[int, Answers],
    reference: Mapping[int, Answers],
    *,
    labels: bool = True,
) -> Comparison:
    """A row against the reference, by the seeds that both have; rows are paired, and so are seeds.

    `labels` says that an answer is right or wrong, which McNemar's test needs.

    EmomtlError where the two share no seed, or answered other rows.
    """
    seeds = [seed for seed in row if seed in reference]
    if not seeds:
        raise EmomtlError("the two rows have no seed in common", remedy="give both the same seeds")
    first = reference[seeds[0]]
    if not all(one[seed].same_rows_as(first) for seed in seeds for one in (row, reference)):
        remedy = "score both on the same corpus"
        raise EmomtlError("the two rows were scored on other test rows", remedy=remedy)
    differences = [sampled.figure(row[seed]) - sampled.figure(reference[seed]) for seed in seeds]
    drawn = [sampled(row[seed]) - sampled(reference[seed]) for seed in seeds]
    low, high = sampled.bounds
    found, noise = _estimated(differences, drawn, len(first), (low - high, high - low))
    test = middle_of([mcnemar(row[seed], reference[seed]) for seed in seeds]) if labels else None
    if noise is None or found.value is None:
        return Comparison(found, None, None, test, None, None, len(seeds))
    # power: the true difference whose interval's near end is above 0 in 80% of such experiments
    detectable = noise.half(1 - LEVEL) + noise.half(2 * (1 - POWER))
    sd = spread(differences).sd
    effect = found.value / sd if sd else None
    return Comparison(found, noise.p(found.value), None, test, effect, detectable, len(seeds))


def right(answers: Answers) -> NDArray[Any]:
    """Rows (n,) whose answer is wholly right: the set of labels at 0.5, or the most probable label."""
    import numpy as np

    targets, probabilities = answers.targets, answers.probabilities
    if targets.ndim == 1:
        return np.asarray(probabilities.argmax(axis=1) == targets)
    known = ~np.isnan(targets)
    return np.asarray((((probabilities >= 0.5) == (targets >= 0.5)) | ~known).all(axis=1))


def mcnemar(one: Answers, other: Answers) -> float:
    """McNemar's exact test (1947): the two-sided binomial p of the rows that just one of the two has right."""
    from scipy import stats

    first, second = right(one), right(other)
    gained, lost = int((first & ~second).sum()), int((~first & second).sum())
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def middle_of(tests: Sequence[float]) -> float:
    """One p of several dependent ones: K/k times the k-th smallest, k half of K rounded up (Rüger 1978), at most 1."""
    middle = math.ceil(len(tests) / 2)
    return min(1.0, len(tests) / middle * sorted(tests)[middle - 1])


def holm(tests: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given."""
    order = sorted(range(len(tests)), key=lambda place: tests[place])
    corrected, largest = [0.0] * len(tests), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(tests) - rank) * tests[place]))
        corrected[place] = largest
    return corrected


def judged(
    comparisons: Mapping[str, Comparison],
    *,
    errors: Collection[str] = (),
    margin: float = 0.0,
) -> dict[str, Comparison]:
    """The comparisons of a table with p corrected over it, and a verdict each.

    A verdict is on the claim that the row is better than its reference (`weigh`), and counts a
    difference as clear where its corrected p is below 0.05. `errors` are those whose metric is an
    error: less is better. An interval within plus and minus `margin` is `equivalent`.
    """
    from dataclasses import replace

    tested = {name: one.p for name, one in comparisons.items() if _is_known(one.p)}
    p_values = [p for p in tested.values() if p is not None]
    corrected = dict(zip(tested, holm(p_values), strict=True))
    found = {}
    for name, one in comparisons.items():
        p = corrected.get(name)
        verdict, reason = _judgement(one, p, name in errors, margin)
        found[name] = replace(one, p_holm=p, verdict=verdict, reason=reason)
    return found


def _is_known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _judgement(comparison: Comparison, p: float | None, less: bool, margin: float) -> Judgement:
    """The verdict on "better than the reference", by the interval and the corrected p."""
    difference = comparison.difference
    if comparison.seeds < 2:
        return Judgement("untested", "one seed")
    low, high = difference.low, difference.high
    if p is None or low is None or high is None or not _is_known(difference.value):
        return Judgement("untested", "undefined")
    expects: Claimed = "less" if less else "more"
    clear = p < 1 - LEVEL
    return weigh(low, high, expects=expects, margin=margin, clear=clear)

"""What can be said of a difference between two rows of a study: intervals, tests, and a verdict in words.

Two things vary: the seed of a run, and the rows that happen to be in the test split. Both are in every interval here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.heads import Head

LEVEL = 0.95
"""The coverage of every interval."""

POWER = 0.8
"""The power at which a minimum detectable difference is stated."""

RESAMPLES = 1000
"""Bootstrap samples of the test rows."""


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
    """A figure with its 95% interval and its standard error; `freedom` are the degrees of freedom of its t."""

    value: float
    low: float
    high: float
    error: float
    freedom: float


@dataclass(frozen=True)
class Comparison:
    """A row against the reference: the difference with its interval, tests, effect size and verdict.

    `p` is of the t test on the difference, `p_holm` the same corrected over the table, `p_mcnemar` of McNemar's exact test
    on whole rows right or wrong, None of numbers, which are neither. `effect` is the difference in standard deviations over
    seeds. `detectable` is the smallest difference that such an experiment finds with a power of 80%.
    """

    difference: Estimate
    p: float
    p_holm: float | None
    p_mcnemar: float | None
    effect: float | None
    detectable: float
    seeds: int
    verdict: str = ""


def as_json(found: Estimate | Comparison) -> dict[str, Any]:
    """What JSON can hold: degrees of freedom without end, where nothing varies, are null."""
    told = asdict(found)
    for one in (told, told.get("difference", {})):
        if one.get("freedom") == math.inf:
            one["freedom"] = None
    return told


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


def estimate(figures: Sequence[float], sampled: Sequence[NDArray[Any]], rows: int) -> Estimate:
    """The mean over seeds with an interval for another draw of both seeds and rows.

    The variance is that over seeds, divided by their number, plus the bootstrap variance over rows of the seeds' mean
    (crossed random effects: all seeds answer the same rows). Degrees of freedom after Welch and Satterthwaite: k - 1 for the
    first part, n - 1 for the second. With one seed only rows vary, and the interval says nothing of seeds.
    """
    import numpy as np
    from scipy import stats

    seeds = len(figures)
    by_rows = float(np.var(np.mean(sampled, axis=0), ddof=1))
    by_seeds = float(np.var(figures, ddof=1)) / seeds if seeds > 1 else 0.0
    variance = by_rows + by_seeds
    parts = by_rows**2 / max(rows - 1, 1) + (by_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
    freedom = variance**2 / parts if parts > 0 else math.inf
    value, error = float(np.mean(figures)), math.sqrt(variance)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return Estimate(value, value - half, value + half, error, freedom)


class Sampled:
    """A figure over bootstrap samples, computed once for each run, as the reference is compared with many."""

    def __init__(self, figure: Figure, samples: NDArray[Any]) -> None:
        self.figure, self.samples = figure, samples
        self._kept: dict[int, tuple[Answers, NDArray[Any]]] = {}

    def __call__(self, answers: Answers) -> NDArray[Any]:
        """The figure on every sample, (number,)."""
        if id(answers) not in self._kept:
            self._kept[id(answers)] = (answers, over_samples(self.figure, answers, self.samples))
        return self._kept[id(answers)][1]


def compare(sampled: Sampled, row: Mapping[int, Answers], reference: Mapping[int, Answers], *, labels: bool = True) -> Comparison:
    """A row against the reference, by the seeds that both have; rows are paired, and so are seeds.

    `labels` says that an answer is right or wrong, which McNemar's test needs.

    EmomtlError where the two share no seed, or answered other rows.
    """
    from scipy import stats

    seeds = [seed for seed in row if seed in reference]
    if not seeds:
        raise EmomtlError("the two rows have no seed in common", remedy="give both the same seeds")
    for seed in seeds:
        if not row[seed].same_rows_as(reference[seed]):
            raise EmomtlError("the two rows were scored on other test rows", remedy="score both on the same corpus")
    differences = [sampled.figure(row[seed]) - sampled.figure(reference[seed]) for seed in seeds]
    found = estimate(differences, [sampled(row[seed]) - sampled(reference[seed]) for seed in seeds], len(row[seeds[0]]))
    p = float(2 * stats.t.sf(abs(found.value) / found.error, found.freedom)) if found.error > 0 else float(found.value == 0)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, found.freedom) + stats.t.ppf(POWER, found.freedom))
    test = middle_of([mcnemar(row[seed], reference[seed]) for seed in seeds]) if labels else None
    sd = spread(differences).sd
    effect = found.value / sd if sd else None
    return Comparison(found, p, None, test, effect, reach * found.error, len(seeds))


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


def judged(comparisons: Mapping[str, Comparison], *, errors: Collection[str] = ()) -> dict[str, Comparison]:
    """The comparisons of a table with p corrected over it, and a verdict each: gain, harm, no evidence, or no verdict.

    `errors` are those whose figure is an error: less is better.
    """
    from dataclasses import replace

    corrected = holm([comparison.p for comparison in comparisons.values()])
    return {
        name: replace(comparison, p_holm=p, verdict=_verdict(comparison, p, name in errors))
        for (name, comparison), p in zip(comparisons.items(), corrected, strict=True)
    }


def _verdict(comparison: Comparison, p: float, less: bool) -> str:
    if comparison.seeds < 2:
        return "one seed: no verdict"
    if p >= 1 - LEVEL:
        return "no evidence"
    return "gain" if (comparison.difference.value < 0) == less else "harm"

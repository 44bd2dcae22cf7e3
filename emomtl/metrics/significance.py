"""Tests of a difference between two rows of a study, their correction, and verdicts.

Two things vary: the seed of a run, and the rows that happen to be in the test split. Every interval
here (`intervals.estimate`) covers both.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from emomtl.errors import EmomtlError
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.intervals import Estimate, SampledMetric, estimate_and_variance, spread
from emomtl.metrics.predictions import TaskPredictions, correct_rows
from emomtl.metrics.verdicts import Claimed, Judgement, Verdict, weigh

POWER = 0.8
"""The power at which a minimum detectable difference is stated."""


@dataclass(frozen=True)
class Comparison:
    """A row against the reference: the difference with its interval, tests, effect size, verdict.

    `p` is of the test that belongs to the interval, `p_holm` the same corrected over the table,
    `p_mcnemar` of McNemar's exact test on rows predicted correctly; None for numbers, which are
    neither correct nor wrong. `effect` is the difference in standard deviations over seeds.
    `detectable` is the smallest difference that such an experiment finds with a power of 80%. All
    are None where the difference or its interval is undefined: then there is no verdict either.
    `verdict` and `reason` are those on the claim that the row is better than its reference.
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

    @property
    def corrected_p(self) -> float | None:
        """`p_holm`, or `p` where it is not corrected; None where it is undefined."""
        return self.p if self.p_holm is None else self.p_holm


def compare(
    sampled: SampledMetric,
    row: Mapping[int, TaskPredictions],
    reference: Mapping[int, TaskPredictions],
    *,
    labels: bool = True,
) -> Comparison:
    """A row against the reference, by the seeds that both have; rows are paired, and so are seeds.

    `labels` says that a row is predicted correctly or not, which McNemar's test needs.
    EmomtlError where the two share no seed, or were scored on different rows.
    """
    seeds = [seed for seed in row if seed in reference]
    if not seeds:
        raise EmomtlError("the two rows have no seed in common", remedy="give both the same seeds")
    first = reference[seeds[0]]
    for seed in seeds:
        if not (row[seed].same_rows_as(first) and reference[seed].same_rows_as(first)):
            remedy = "score both on the same corpus"
            raise EmomtlError("the two rows were scored on other test rows", remedy=remedy)
    differences = [sampled.metric(row[seed]) - sampled.metric(reference[seed]) for seed in seeds]
    draws = [sampled(row[seed]) - sampled(reference[seed]) for seed in seeds]
    low, high = sampled.bounds
    bounds = (low - high, high - low)
    difference, variance = estimate_and_variance(differences, draws, len(first), bounds)
    p_mcnemar = None
    if labels:
        p_mcnemar = combined_p([mcnemar(row[seed], reference[seed]) for seed in seeds])
    if variance is None or difference.value is None:
        return Comparison(difference, None, None, p_mcnemar, None, None, len(seeds))
    # power: the true difference whose interval's near end is above 0 in 80% of such experiments
    detectable = variance.half_width(1 - LEVEL) + variance.half_width(2 * (1 - POWER))
    sd = spread(differences).sd
    effect = difference.value / sd if sd else None
    p = variance.p_value(difference.value)
    return Comparison(difference, p, None, p_mcnemar, effect, detectable, len(seeds))


def mcnemar(first: TaskPredictions, second: TaskPredictions) -> float:
    """McNemar's exact test (1947): the two-sided binomial p of the rows that just one has right."""
    from scipy import stats

    first_correct, second_correct = correct_rows(first), correct_rows(second)
    gained = int((first_correct & ~second_correct).sum())
    lost = int((~first_correct & second_correct).sum())
    if not gained + lost:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def chi_squared(observed: Sequence[float], expected: Sequence[float]) -> float:
    """The p-value of Pearson's test of counts against expected counts of the same sum."""
    from scipy import stats

    return float(stats.chisquare(observed, expected).pvalue)


def combined_p(p_values: Sequence[float]) -> float:
    """One p of K dependent ones: K/k times the k-th smallest, k half of K rounded up, at most 1.

    Rüger (1978), Metrika 25, 171-178.
    """
    middle = math.ceil(len(p_values) / 2)
    return min(1.0, len(p_values) / middle * sorted(p_values)[middle - 1])


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        # p_(rank) times the number of hypotheses not yet rejected, never below its predecessor
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def judged(
    comparisons: Mapping[str, Comparison], *, errors: Collection[str] = (), margin: float = 0.0
) -> dict[str, Comparison]:
    """The comparisons of a table with p corrected over it, and a verdict each.

    A verdict is on the claim that the row is better than its reference (`weigh`), and counts a
    difference as clear where its corrected p is below 0.05. `errors` are the rows whose metric is
    an error: less is better. An interval within plus and minus `margin` is `equivalent`.
    """
    p_values: dict[str, float] = {}
    for name, comparison in comparisons.items():
        if comparison.p is not None and math.isfinite(comparison.p):
            p_values[name] = comparison.p
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    with_verdicts = {}
    for name, comparison in comparisons.items():
        p_holm = corrected.get(name)
        expects: Claimed = "less" if name in errors else "more"
        verdict, reason = _judgement(comparison, p_holm, expects, margin)
        with_verdicts[name] = replace(comparison, p_holm=p_holm, verdict=verdict, reason=reason)
    return with_verdicts


def _judgement(
    comparison: Comparison, p_holm: float | None, expects: Claimed, margin: float
) -> Judgement:
    """The verdict on "better than the reference", by the interval and the corrected p."""
    if comparison.seeds < 2:
        return Judgement("untested", "one seed")
    low, high = comparison.difference.low, comparison.difference.high
    if p_holm is None or low is None or high is None:
        return Judgement("untested", "undefined")
    return weigh(low, high, expects=expects, margin=margin, clear=p_holm < 1 - LEVEL)

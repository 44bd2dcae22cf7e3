"""Intervals cover as often as they say, whatever noise there is, and what is undefined has no
verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy import stats

from emomtl.contracts.heads import MultiLabel, Regression, SingleLabel
from emomtl.metrics.bootstrap import MOST_UNDEFINED, row_counts, sample_blocks, sample_rows
from emomtl.metrics.intervals import LEAST_P, Estimate, SampledMetric, estimate
from emomtl.metrics.predictions import HeadMetric, TaskPredictions
from emomtl.metrics.significance import Comparison, compare, holm, judged

NOISES = {
    # standard deviations of a seed, of a row for all seeds, and of a row for one seed, such that
    # the
    # mean over `ROWS` rows and over seeds has a part of the size of each
    "seeds": (1.0, 0.1, 0.1),
    "rows": (0.01, 1.0, 0.1),
    "rows of each seed": (0.0, 0.0, 1.0),
    "seeds and rows": (0.2, 1.0, 0.5),
    "seeds as much as rows": (0.1, 1.0, 0.0),
    "all three": (0.1, 1.0, 1.0),
}
ROWS = 100
Metric = Callable[[TaskPredictions], float]


def _experiments(noise: str, seeds: int, times: int, draws: int) -> tuple[Any, Any, float]:
    """Metrics (times, seeds), their bootstrap draws (times, seeds, draws), the true standard error.

    The truth is zero: a paired difference of two rows of a study that are equally good. The metric
    is a mean over rows, whose bootstrap is a product with how often each row is drawn.
    """
    of_seed, shared, own = NOISES[noise]
    random = np.random.default_rng([seeds, *noise.encode()])
    values = (
        of_seed * random.normal(size=(times, seeds, 1))
        + shared * random.normal(size=(times, 1, ROWS))
        + own * random.normal(size=(times, seeds, ROWS))
    )
    weights = row_counts(sample_rows(ROWS, draws, seed=1), ROWS).astype(np.float64) / ROWS
    error = math.sqrt(of_seed**2 / seeds + (shared**2 + own**2 / seeds) / ROWS)
    return values.mean(axis=2), values @ weights.T, error


def _welch(figures: Any, draws: Any) -> float:
    """Half the width of the interval that we had before: Welch's and Satterthwaite's."""
    seeds = len(figures)
    by_rows = draws.mean(axis=0).var(ddof=1)
    by_seeds = figures.var(ddof=1) / seeds
    parts = by_rows**2 / (ROWS - 1) + by_seeds**2 / (seeds - 1)
    variance = by_rows + by_seeds
    return float(stats.t.ppf(0.975, variance**2 / parts) * math.sqrt(variance))


def _coverage(noise: str, seeds: int, times: int, draws: int) -> tuple[float, float]:
    """How often zero is in the interval, and the median width by that with a known variance."""
    figures, sampled, error = _experiments(noise, seeds, times, draws)
    found = [estimate(one, drawn, ROWS) for one, drawn in zip(figures, sampled, strict=True)]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    known = 2 * stats.norm.ppf(0.975) * error
    return float(covered), float(np.median([one.high - one.low for one in found]) / known)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_whatever_part_of_the_noise_is_large(noise: str, seeds: int) -> None:
    covered, _ = _coverage(noise, seeds, times=1500, draws=150)
    assert covered >= 0.93  # and false verdicts, of truths that are zero, are at most 7%


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_rows_are_the_noise_intervals_are_not_much_wider_than_known_ones(seeds: int) -> None:
    _, wide = _coverage("rows", seeds, times=400, draws=150)
    assert wide <= 1.15


@pytest.mark.parametrize(("seeds", "most"), [(2, 4.8), (3, 2.0), (5, 1.45)])
def test_each_seed_is_worth_what_students_t_says(seeds: int, most: float) -> None:
    for noise in ("seeds", "rows of each seed"):
        _, wide = _coverage(noise, seeds, times=400, draws=150)
        assert wide <= most


def test_the_interval_that_we_had_before_fails_this_simulation() -> None:
    figures, sampled, _ = _experiments("seeds and rows", 2, times=1500, draws=150)
    halves = [_welch(one, drawn) for one, drawn in zip(figures, sampled, strict=True)]
    assert np.mean(np.abs(figures.mean(axis=1)) <= halves) < 0.925


@pytest.mark.long
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 10])
def test_intervals_cover_in_a_large_simulation(noise: str, seeds: int) -> None:
    covered, _ = _coverage(noise, seeds, times=8_000, draws=300)
    assert covered >= 0.94


@pytest.mark.long
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread_of_seeds", [0.0, 0.02, 0.1])
def test_verdicts_on_f1_of_equally_good_rows_are_seldom_false(
    seeds: int, spread_of_seeds: float
) -> None:
    random = np.random.default_rng([seeds, int(1000 * spread_of_seeds)])
    times, false = 400, 0
    for _ in range(times):
        hard = random.random(200) < 0.3  # rows that any model gets wrong more often
        targets = random.integers(0, 2, 200)

        def answered(hard: Any = hard, targets: Any = targets) -> dict[int, TaskPredictions]:
            made = {}
            for seed in range(seeds):
                good = np.clip(0.8 + spread_of_seeds * random.normal(), 0.55, 1.0)
                right = random.random(200) < np.where(hard, good - 0.4, good)
                chosen = np.where(right, targets, 1 - targets)
                made[seed] = TaskPredictions(targets, np.eye(2)[chosen])
            return made

        found = compare(SampledMetric(_f1, number=150), answered(), answered())
        false += judged({"row": found})["row"].verdict in ("supported", "contradicted")
    assert false / times <= 0.07


def _f1(answers: TaskPredictions) -> float:
    """Macro F1 of two labels."""
    said = answers.probabilities.argmax(axis=1)
    hits = [2 * np.sum((said == k) & (answers.targets == k)) for k in (0, 1)]
    sizes = [np.sum(said == k) + np.sum(answers.targets == k) for k in (0, 1)]
    return float(
        np.mean([hit / size if size else 0.0 for hit, size in zip(hits, sizes, strict=True)])
    )


def test_the_interval_is_banerjees_by_hand() -> None:
    figures = [0.1, 0.3]
    draws = [np.array([0.1, 0.2, 0.0, 0.1]), np.array([0.3, 0.4, 0.2, 0.3])]
    found = estimate(figures, draws, 10)
    # seeds move together: nothing is a seed's own
    by_rows = np.var([0.2, 0.3, 0.1, 0.2], ddof=1) * 10 / 9
    by_seeds = np.var(figures, ddof=1) / 2
    half = math.hypot(
        stats.t.ppf(0.975, 1) * math.sqrt(by_seeds), stats.t.ppf(0.975, 9) * math.sqrt(by_rows)
    )
    assert found.high - found.value == pytest.approx(half)
    assert found.error == pytest.approx(math.sqrt(by_seeds + by_rows))


def test_equal_seeds_leave_an_interval_as_wide_as_that_over_rows() -> None:
    rows = np.random.default_rng(0).normal(0.05, 0.1, 200)
    found = estimate([0.05, 0.05], [rows, rows[::-1]], 50)
    alone = np.mean([rows, rows[::-1]], axis=0).std(ddof=1) * math.sqrt(50 / 49)
    assert found.high - found.value >= stats.t.ppf(0.975, 49) * alone * (1 - 1e-9)


def test_an_interval_excludes_zero_just_where_its_p_is_below_five_per_cent() -> None:
    random = np.random.default_rng(8)
    ends = []
    for shift in np.linspace(0, 0.3, 30):
        hits = [random.random(120) < share for share in (0.6, 0.6, 0.6 + shift, 0.6 + shift)]
        targets = np.zeros(120, dtype=np.int64)
        made = [
            TaskPredictions(targets, np.stack([hit, ~hit], axis=1).astype(float)) for hit in hits
        ]
        sampled = SampledMetric(
            lambda one: float((one.probabilities[:, 0] > 0.5).mean()), number=100
        )
        found = compare(sampled, dict(enumerate(made[2:])), dict(enumerate(made[:2])))
        beyond = found.difference.low > 0 or found.difference.high < 0
        assert beyond == (found.p < 0.05)
        ends.append(beyond)
    assert any(ends)
    assert not all(ends)


def test_p_is_that_of_students_t_and_never_zero() -> None:
    targets = np.zeros(2000, dtype=np.int64)
    random = np.random.default_rng(9)

    def answered(share: float) -> TaskPredictions:
        hits = random.random(2000) < share
        return TaskPredictions(targets, np.stack([hits, ~hits], axis=1).astype(float))

    sampled = SampledMetric(lambda one: float(one.probabilities[:, 0].mean()), number=200)
    near = compare(sampled, {1: answered(0.62)}, {1: answered(0.6)})
    t = near.difference.value / near.difference.error
    assert near.p == pytest.approx(2 * stats.t.sf(abs(t), 1999), rel=1e-6)
    far = compare(sampled, {1: answered(0.99)}, {1: answered(0.01)})
    assert far.p == LEAST_P


# What is undefined


def _labels(targets: list[int], said: list[int], labels: int = 2) -> TaskPredictions:
    return TaskPredictions(np.array(targets), np.eye(labels)[said])


def _undefined_in(number: int, of: int = 1000) -> Any:
    """Draws of which so many are undefined."""
    drawn = np.random.default_rng(1).normal(0.1, 0.02, of)
    drawn[:number] = np.nan
    return drawn


def test_a_few_undefined_samples_are_left_out_and_counted() -> None:
    most = int(MOST_UNDEFINED * 1000)
    drawn = _undefined_in(most)
    found = estimate([0.1], [drawn], 100)
    assert (found.value, found.undefined) == (0.1, most)
    assert found.error == pytest.approx(drawn[most:].std(ddof=1) * math.sqrt(100 / 99))


@pytest.mark.parametrize(
    ("figures", "draws"),
    [
        ([0.1], [_undefined_in(int(MOST_UNDEFINED * 1000) + 1)]),
        ([0.1, math.nan], [_undefined_in(0), _undefined_in(0)]),
        ([0.1, math.inf], [_undefined_in(0), _undefined_in(0)]),
        ([0.1, 0.2], [_undefined_in(0), np.full(1000, np.nan)]),
        ([0.1], [np.full(1000, 0.1)]),
        ([0.1, 0.1], [np.full(1000, 0.1), np.full(1000, 0.1)]),
    ],
)
def test_what_is_undefined_or_never_varies_has_no_interval(
    figures: list[float], draws: list[Any]
) -> None:
    found = estimate(figures, draws, 100)
    assert (found.low, found.high, found.error) == (None, None, None)
    assert (found.value is None) == (not np.isfinite(figures).all())
    assert "NaN" not in json.dumps(asdict(found), allow_nan=False)


def test_the_draws_of_two_seeds_are_counted_once_where_both_are_undefined() -> None:
    one, other = _undefined_in(0), _undefined_in(0)
    one[:4], other[2:6] = np.nan, np.inf
    assert estimate([0.1, 0.2], [one, other], 100).undefined == 6


def test_one_row_has_no_interval() -> None:
    assert estimate([0.5, 0.6], [np.full(50, 0.5), np.full(50, 0.6)], 1).low is None


HEADS: dict[str, tuple[Any, str, TaskPredictions, TaskPredictions]] = {
    # four test rows, as in the study that called an undefined difference a gain
    "correlation of few numbers": (
        Regression(),
        "pearson_r",
        TaskPredictions(
            np.array([[0.1], [0.2], [0.3], [0.9]]), np.array([[0.1], [0.3], [0.2], [0.8]])
        ),
        TaskPredictions(
            np.array([[0.1], [0.2], [0.3], [0.9]]), np.array([[0.2], [0.1], [0.3], [0.7]])
        ),
    ),
    "correlation with a constant": (
        Regression(),
        "pearson_r",
        TaskPredictions(np.arange(50.0)[:, None], np.ones((50, 1))),
        TaskPredictions(
            np.arange(50.0)[:, None], np.arange(50.0)[:, None] + np.sin(np.arange(50))[:, None]
        ),
    ),
    "f1 of labels that no row has": (
        MultiLabel(),
        "macro_f1",
        TaskPredictions(np.zeros((40, 2)), np.full((40, 2), 0.1)),
        TaskPredictions(np.zeros((40, 2)), np.full((40, 2), 0.9)),
    ),
    "every row right against every row wrong": (
        SingleLabel(),
        "top1_accuracy",
        _labels([0] * 6, [0] * 6),
        _labels([0] * 6, [1] * 6),
    ),
}


@pytest.mark.parametrize("case", HEADS)
def test_an_undefined_comparison_has_no_p_and_no_verdict(case: str) -> None:
    head, metric, row, reference = HEADS[case]
    sampled = SampledMetric(HeadMetric(head, metric), bounds=head.bounds(metric), number=200)
    found = compare(
        sampled, {1: row, 2: row}, {1: reference, 2: reference}, labels=head.answers == "labels"
    )
    told = judged({"row": found})["row"]
    assert (told.p, told.p_holm, told.effect, told.detectable) == (None, None, None, None)
    assert (told.difference.low, told.verdict, told.reason) == (None, "untested", "undefined")
    json.dumps(asdict(told), allow_nan=False)


@pytest.mark.parametrize("p", [None, math.nan])
def test_what_is_undefined_takes_no_part_in_the_correction_of_the_others(p: float | None) -> None:
    def made(p: float | None, value: float) -> Comparison:
        return Comparison(Estimate(value, 0, 0, 1), p, None, 1.0, None, 0.1, 3)

    found = judged({"a": made(0.03, 0.1), "no": made(p, 0.2), "b": made(0.02, -0.1)})
    assert (found["no"].p_holm, found["no"].reason) == (None, "undefined")
    assert [found[name].p_holm for name in "ab"] == holm([0.03, 0.02])


@pytest.mark.parametrize(
    ("head", "metric", "bounds"),
    [
        (MultiLabel(), "macro_f1", (0, 1)),
        (MultiLabel(), "groups/macro_f1", (0, 1)),
        (SingleLabel(), "top1_accuracy", (0, 1)),
        (MultiLabel(), "macro_matthews_correlation", (-1, 1)),
        (MultiLabel(), "macro_auroc", (0, 1)),
        (SingleLabel(), "cohen_kappa", (-1, 1)),
        (Regression(), "pearson_r_valence", (-1, 1)),
        (Regression(), "rmse", (0, math.inf)),
        (Regression(), "something else", (-math.inf, math.inf)),
    ],
)
def test_heads_know_what_their_metrics_can_be(
    head: Any, metric: str, bounds: tuple[float, float]
) -> None:
    assert head.bounds(metric) == bounds


@pytest.mark.parametrize(
    "head", [SingleLabel(), SingleLabel(ordinal=True), MultiLabel(), Regression()]
)
def test_no_metric_of_our_heads_leaves_its_bounds(head: Any) -> None:
    random = np.random.default_rng(4)
    for _ in range(20):
        single, many = random.integers(0, 3, 12), (random.random((12, 3)) < 0.4).astype(np.float32)
        targets = many if head.kind != "single-label" else single
        metrics = head.metrics(
            targets[:, :1] if head.kind == "regression" else targets, random.random((12, 3))
        )
        for name, value in metrics.items():
            low, high = head.bounds(name)
            assert low > -math.inf, name
            assert value is None or low <= value <= high, name


def test_intervals_of_f1_end_at_one_and_say_so() -> None:
    draws = np.random.default_rng(2).normal(0.97, 0.04, 1000)
    found = estimate([0.97], [draws], 50, bounds=(0.0, 1.0))
    assert (found.high, found.clipped) == (1.0, True)
    assert not estimate([0.5], [draws], 50, bounds=(0.0, 1.0)).clipped


def test_samples_in_blocks_are_the_samples_at_once() -> None:
    blocks = list(sample_blocks(37, number=120, seed=3))
    assert [len(block) for block in blocks] == [50, 50, 20]
    assert (np.concatenate(blocks) == sample_rows(37, 120, seed=3)).all()

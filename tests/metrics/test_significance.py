"""Intervals cover, tests agree with scipy and with closed forms, and a verdict needs seeds."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from emomtl.errors import EmomtlError
from emomtl.metrics.bootstrap import over_samples, sample_rows
from emomtl.metrics.intervals import Estimate, SampledMetric, estimate, spread
from emomtl.metrics.predictions import TaskPredictions, correct_rows
from emomtl.metrics.significance import Comparison, combined_p, compare, holm, judged, mcnemar


def _mean(answers: TaskPredictions) -> float:
    return float(correct_rows(answers).mean())


def _answers(hits: np.ndarray) -> TaskPredictions:
    """Answers to two labels, correct_rows where `hits` says so."""
    targets = np.zeros(len(hits), dtype=np.int64)
    return TaskPredictions(
        targets, np.stack([np.where(hits, 0.9, 0.1), np.where(hits, 0.1, 0.9)], axis=1)
    )


def test_with_one_seed_the_interval_is_that_of_a_mean_over_rows() -> None:
    hits = np.random.default_rng(0).random(2000) < 0.7
    samples = sample_rows(2000, 2000, 1)
    found = estimate([hits.mean()], [over_samples(_mean, _answers(hits), samples)], 2000)
    assert found.error == pytest.approx(math.sqrt(hits.mean() * (1 - hits.mean()) / 2000), rel=0.06)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 1999) * found.error)
    assert (found.low + found.high) / 2 == pytest.approx(found.value)


def test_without_row_noise_the_interval_is_students_over_seeds() -> None:
    figures = [0.41, 0.44, 0.43, 0.45]
    found = estimate(figures, [np.full(10, figure) for figure in figures], 500)
    low, high = stats.t.interval(0.95, 3, np.mean(figures), stats.sem(figures))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_equal_rows_give_no_difference_and_a_p_of_one() -> None:
    one = _answers(np.random.default_rng(3).random(100) < 0.5)
    found = compare(SampledMetric(_mean, number=50), {1: one, 2: one}, {1: one, 2: one})
    assert (found.difference.value, found.p, found.p_mcnemar, found.effect) == (0.0, 1.0, 1.0, None)
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["difference"]["low"] == 0.0
    assert judged({"equal": found})["equal"].verdict == "equivalent"


def test_a_clear_gain_and_a_clear_harm_are_found_and_one_seed_has_no_verdict() -> None:
    draw = np.random.default_rng(4)
    base = {seed: _answers(draw.random(800) < 0.6) for seed in (1, 2, 3)}
    better = {seed: _answers(correct_rows(base[seed]) | (draw.random(800) < 0.4)) for seed in base}
    sampled = SampledMetric(_mean, number=300)
    found = judged({"up": compare(sampled, better, base), "down": compare(sampled, base, better)})
    assert [found[name].verdict for name in ("up", "down")] == ["supported", "contradicted"]
    assert found["up"].p_mcnemar < 1e-6
    alone = judged({"up": compare(SampledMetric(_mean, number=300), {1: better[1]}, base)})
    assert (alone["up"].verdict, alone["up"].reason) == ("untested", "one seed")


def test_pairing_makes_a_comparison_sharper_than_two_intervals_apart() -> None:
    draw = np.random.default_rng(5)
    base = {seed: _answers(draw.random(1000) < 0.6) for seed in (1, 2)}
    nearly = {
        seed: _answers(np.where(draw.random(1000) < 0.02, True, correct_rows(base[seed])))
        for seed in base
    }
    samples = sample_rows(1000, 300, 0)
    paired = compare(SampledMetric(_mean, number=300), nearly, base).difference.error
    apart = estimate(
        [_mean(a) for a in base.values()],
        [over_samples(_mean, a, samples) for a in base.values()],
        1000,
    ).error
    assert paired < apart / 2


def test_rows_without_a_common_seed_or_with_other_targets_are_refused() -> None:
    one, other = (
        _answers(np.ones(5, bool)),
        TaskPredictions(np.ones(5, dtype=np.int64), np.full((5, 2), 0.5)),
    )
    with pytest.raises(EmomtlError, match="no seed in common"):
        compare(SampledMetric(_mean, number=3), {1: one}, {2: one})
    with pytest.raises(EmomtlError, match="other test rows"):
        compare(SampledMetric(_mean, number=3), {1: one}, {1: other})


def test_mcnemar_counts_only_rows_on_which_the_two_differ() -> None:
    one = _answers(np.array([True] * 50 + [True] * 9 + [False] * 1 + [False] * 40))
    other = _answers(np.array([True] * 50 + [False] * 9 + [True] * 1 + [False] * 40))
    assert mcnemar(one, other) == pytest.approx(stats.binomtest(9, 10).pvalue)


def test_a_multi_label_row_is_right_where_every_known_label_is() -> None:
    targets = np.array([[1.0, 0.0], [1.0, 1.0], [np.nan, 1.0], [np.nan, 0.0]])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])
    assert correct_rows(TaskPredictions(targets, probabilities)).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_holm_agrees_with_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_never_lowers_a_p_and_keeps_their_order(tests: list[float]) -> None:
    found = holm(tests)
    assert all(min(1.0, p) <= q <= 1.0 for p, q in zip(tests, found, strict=True))
    assert all(
        found[i] <= found[j]
        for i in range(len(tests))
        for j in range(len(tests))
        if tests[i] < tests[j]
    )
    assert min(found) == pytest.approx(min(1.0, len(tests) * min(tests)))


def test_the_middle_of_dependent_tests_is_ruegers() -> None:
    assert combined_p([0.04]) == 0.04
    assert combined_p([0.01, 0.02, 0.9]) == pytest.approx(1.5 * 0.02)
    assert combined_p([0.9, 0.8]) == 1.0


def test_the_detectable_difference_is_that_of_the_power_formula() -> None:
    draw = np.random.default_rng(6)
    base = {seed: _answers(draw.random(500) < 0.6) for seed in (1, 2, 3)}
    other = {seed: _answers(draw.random(500) < 0.6) for seed in (1, 2, 3)}
    found = compare(SampledMetric(_mean, number=200), other, base)
    half = found.difference.high - found.difference.value
    one = compare(SampledMetric(_mean, number=200), {1: other[1]}, {1: base[1]})
    t = stats.t(499)
    assert one.detectable == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * one.difference.error)
    assert half < found.detectable < 2 * half


def test_verdicts_follow_the_corrected_p_and_not_the_raw_one() -> None:
    def made(p: float, value: float) -> Comparison:
        return Comparison(
            Estimate(value, value - 0.05, value + 0.05, 1, 9), p, None, 1.0, None, 0.1, 3
        )

    found = judged({"a": made(0.03, 0.1), "b": made(0.04, -0.1), "c": made(0.001, -0.1)})
    assert [found[name].verdict for name in "abc"] == [
        "inconclusive",
        "inconclusive",
        "contradicted",
    ]
    assert found["a"].p_holm == pytest.approx(0.06)
    errors = judged({"less": made(0.001, -0.1), "more": made(0.001, 0.1)}, errors=("less", "more"))
    assert [found.verdict for found in errors.values()] == ["supported", "contradicted"]


def test_numbers_are_neither_right_nor_wrong_and_have_no_mcnemar() -> None:
    draw = np.random.default_rng(6)
    targets = draw.normal(size=(50, 2))
    one, other = (TaskPredictions(targets, targets + draw.normal(size=(50, 2))) for _ in range(2))
    sampled = SampledMetric(
        lambda answers: float(np.abs(answers.targets - answers.probabilities).mean()), number=20
    )
    found = compare(sampled, {1: other}, {1: one}, labels=False)
    assert found.p_mcnemar is None
    assert found.p < 1


def test_a_spread_has_no_deviation_with_one_seed() -> None:
    assert spread([0.5]).sd is None
    assert spread([0.4, 0.6]).sd == pytest.approx(math.sqrt(0.02))

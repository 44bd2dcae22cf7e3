"""Thresholds are the best ones and say how optimistic they are; scaling finds the temperature;
errors agree with oracles.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import brier_score_loss, f1_score

from emomtl import MultiLabel
from emomtl.analyses.calibration.reliability import reliability
from emomtl.metrics.tuning import KINDS, cross_fitted, fit_scaling, fit_thresholds, moved


def _rows(n: int, labels: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (with shift 0) and targets."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-1.5, 1.5, (n, labels))
    return expit(logits + shift), (draw.random((n, labels)) < expit(logits)).astype(np.float32)


def _macro(targets: np.ndarray, probabilities: np.ndarray) -> float | None:
    return MultiLabel().metrics(targets, probabilities)["macro_f1"]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_no_threshold_of_the_grid_is_better_than_the_one_chosen(seed: int) -> None:
    probabilities, targets = _rows(60, 2, seed)
    chosen = fit_thresholds(probabilities, targets, "per-label", min_support=1)
    for label in range(2):
        if targets[:, label].sum() == 0:
            continue
        scores = [
            f1_score(targets[:, label], probabilities[:, label] >= t / 100, zero_division=0)
            for t in range(1, 100)
        ]
        got = f1_score(
            targets[:, label], probabilities[:, label] >= chosen.values[label], zero_division=0
        )
        assert got == pytest.approx(max(scores))


def test_a_label_with_few_positive_rows_takes_the_global_threshold() -> None:
    probabilities, targets = _rows(500, 3, 1)
    targets[:, 2] = 0
    targets[:5, 2] = 1
    found = fit_thresholds(probabilities, targets, "per-label")
    everywhere = fit_thresholds(probabilities, targets, "global").values[0]
    assert found.shared == (2,)
    assert found.values[2] == everywhere
    assert fit_thresholds(probabilities, targets, "fixed", fixed=0.3).values.tolist() == [0.3] * 3


def test_groups_share_one_threshold_each() -> None:
    probabilities, targets = _rows(800, 4, 2)
    probabilities[:, 2:] = probabilities[:, 2:] ** 2
    found = fit_thresholds(probabilities, targets, "per-group", groups=[[0, 1], [2, 3]])
    assert found.values[0] == found.values[1] > found.values[2] == found.values[3]


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_moved_probabilities_decide_at_a_half_what_was_decided_at_the_threshold(
    seed: int, threshold: float
) -> None:
    probabilities = np.random.default_rng(seed).random((50, 3))
    probabilities[0] = threshold
    bent = moved(probabilities, np.full(3, threshold))
    assert ((bent >= 0.5) == (probabilities >= threshold)).all()
    assert ((bent >= 0) & (bent <= 1)).all()
    order = np.argsort(probabilities[:, 0], kind="stable")
    assert (np.diff(bent[order, 0]) >= 0).all()


def _optimism(probabilities: np.ndarray, targets: np.ndarray, kind: str, **options: int) -> float:
    found = cross_fitted(probabilities, targets, kind, **options)
    tuned, honest = _macro(targets, found.tuned), _macro(targets, found.held_out)
    assert tuned is not None
    assert honest is not None
    return tuned - honest


def test_tuning_on_noise_looks_like_a_gain_and_cross_fitting_takes_it_back() -> None:
    draw = np.random.default_rng(3)
    probabilities, targets = (
        draw.random((300, 20)),
        (draw.random((300, 20)) < 0.1).astype(np.float32),
    )
    assert _optimism(probabilities, targets, "per-label", min_support=1) > 0.01
    assert _optimism(probabilities, targets, "fixed") == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_unknown_targets_count_for_nothing(kind: str) -> None:
    probabilities, targets = _rows(400, 3, 4)
    more = np.concatenate([targets, np.full((100, 3), np.nan, np.float32)])
    padded = np.concatenate([probabilities, np.random.default_rng(0).random((100, 3))])
    one = fit_thresholds(probabilities, targets, kind, groups=[[0, 1], [2]])
    two = fit_thresholds(padded, more, kind, groups=[[0, 1], [2]])
    assert one.values.tolist() == two.values.tolist()


def test_temperature_scaling_finds_the_temperature_that_was_put_in() -> None:
    draw = np.random.default_rng(5)
    logits = draw.normal(0, 2, (20_000, 4))
    targets = (draw.random((20_000, 4)) < expit(logits)).astype(np.float32)
    found = fit_scaling(expit(logits * 2.5), targets)
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    classes = np.array([draw.choice(4, p=softmax(row)) for row in logits[:5000]])
    assert fit_scaling(softmax(logits[:5000] * 2.5, axis=1), classes).temperature == pytest.approx(
        2.5, rel=0.08
    )


def test_vector_scaling_mends_labels_that_are_off_in_different_ways() -> None:
    draw = np.random.default_rng(6)
    logits = draw.normal(-1, 1.5, (20_000, 2))
    targets = (draw.random((20_000, 2)) < expit(logits)).astype(np.float32)
    off = expit(np.stack([logits[:, 0] * 2 + 1, logits[:, 1] * 0.5], axis=1))
    scaled = [
        reliability(fit_scaling(off, targets, method)(off), targets)
        for method in ("temperature", "vector")
    ]
    assert scaled[1].negative_log_likelihood < scaled[0].negative_log_likelihood - 0.01
    assert scaled[1].ece < 0.01


def test_calibrated_answers_have_a_small_error_and_shifted_ones_a_large_one() -> None:
    good, bad = (reliability(*_rows(20_000, 3, 7, shift)) for shift in (0.0, 2.0))
    assert good.ece < 0.01
    assert bad.ece > 0.1


def test_brier_and_ece_agree_with_independent_counts() -> None:
    probabilities, targets = _rows(300, 2, 8)
    found = reliability(probabilities, targets)
    flat = probabilities.ravel(), targets.ravel()
    assert found.brier == pytest.approx(brier_score_loss(flat[1], flat[0]))
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (flat[0] >= low) & (flat[0] < high)
        total += abs(flat[1][inside].sum() - flat[0][inside].sum())
    assert found.ece == pytest.approx(total / len(flat[0]))
    assert sum(one.number for one in found.bins) == len(flat[0])


def test_for_one_label_of_many_the_confidence_is_that_of_the_most_probable() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]])
    found = reliability(probabilities, np.array([0, 1]))
    assert found.ece == pytest.approx((abs(1 - 0.8) + abs(0 - 0.6)) / 2)
    assert found.brier == pytest.approx(((0.04 + 0.01 + 0.01) + (0.36 + 0.49 + 0.01)) / 2)

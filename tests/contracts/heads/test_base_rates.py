"""The best constant answer of each head costs what scikit-learn and scipy say it costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from emomtl import Head, MultiLabel, Regression, SingleLabel
from emomtl.train.scale import TaskScale, scale_of_targets
from emomtl_plugins.heads.masked_tokens import MaskedTokens

RNG = np.random.default_rng(5)


def test_the_single_label_base_rate_is_the_log_loss() -> None:
    targets = np.array([0, 0, 0, 1, 2, 2, -100])
    known = targets[targets >= 0]
    frequencies = np.bincount(known) / len(known)
    base = SingleLabel().base_rate(targets)
    assert base is not None
    assert base.loss == pytest.approx(log_loss(known, np.tile(frequencies, (len(known), 1))))
    assert base.nats == 1.0


def test_soft_single_labels_have_the_entropy_of_their_mean_shares() -> None:
    base = SingleLabel(soft=True).base_rate(
        np.array([[0.2, 0.8], [0.6, 0.4], [np.nan, np.nan]], np.float32)
    )
    assert base is not None
    assert base.loss == pytest.approx(-(0.4 * math.log(0.4) + 0.6 * math.log(0.6)), rel=1e-6)


def test_multi_label_base_rate_is_the_lowest_constant_loss() -> None:
    targets = (RNG.random((60, 3)) < [0.1, 0.5, 0.9]).astype(np.float32)
    targets[:20, 1] = np.nan
    head = MultiLabel()
    means = torch.from_numpy(np.nanmean(targets, axis=0).astype(np.float64))
    lowest = head.loss(torch.logit(means).expand(60, 3), torch.from_numpy(targets)).item()
    base = head.base_rate(targets)
    assert base is not None
    assert base.loss == pytest.approx(lowest, rel=1e-6)


def test_soft_labels_have_the_entropy_of_their_mean() -> None:
    base = MultiLabel().base_rate(np.array([[0.2], [0.6]], np.float32))
    assert base is not None
    assert base.loss == pytest.approx(-(0.4 * math.log(0.4) + 0.6 * math.log(0.6)), rel=1e-6)


def test_regression_base_rate_is_the_variance_and_half_a_nat() -> None:
    targets = RNG.normal(3, 0.4, (500, 1)).astype(np.float32)
    base = Regression().base_rate(targets)
    assert base is not None
    best = minimize_scalar(lambda constant: float(((targets - constant) ** 2).mean()))
    assert base.loss == pytest.approx(best.fun, rel=1e-5)
    # a Gaussian with the training variance spends half a nat on the squared error of its mean
    assert base.loss * base.nats == pytest.approx(0.5)


def test_hidden_words_have_the_entropy_of_word_frequencies() -> None:
    base = MaskedTokens().base_rate(np.array([7, 7, 7, 9]))
    assert base is not None
    assert base.loss == pytest.approx(log_loss([0, 0, 0, 1], [0.25] * 4))


@pytest.mark.parametrize(
    ("head", "targets", "per_row"),
    [
        (MultiLabel(), (RNG.random((80, 28)) < 0.04).astype(np.float32), 28),
        (SingleLabel(), RNG.integers(0, 2, 80), 1),
        (Regression(dimensions=("v", "a", "d")), RNG.normal(3, 0.4, (80, 3)).astype(np.float32), 3),
    ],
    ids=["multi-label", "single-label", "regression"],
)
def test_the_three_scales_of_a_constant_answer(
    head: Head, targets: np.ndarray, per_row: int
) -> None:
    base = head.base_rate(targets)
    assert base is not None
    assert scale_of_targets("mean", head, targets).base_loss == pytest.approx(base.loss)
    assert scale_of_targets("base-rate", head, targets).base_loss == pytest.approx(1.0)
    nats = scale_of_targets("nats", head, targets)
    assert nats.targets == per_row
    assert nats.base_loss == pytest.approx(base.loss * base.nats * per_row)


def test_a_target_that_never_changes_leaves_the_loss_as_it_is() -> None:
    scale = scale_of_targets("base-rate", SingleLabel(), np.zeros(5, np.int64))
    assert scale.factor(1.0) == 1.0
    assert "same target" in scale.sentence


def test_a_head_that_does_not_say_keeps_its_mean_loss() -> None:
    scale = TaskScale("nats", None, 4.0)
    assert scale.factor(4.0) == scale.base_loss == 1.0
    assert "does not say" in scale.sentence

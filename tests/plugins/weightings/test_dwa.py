"""Weights from how fast losses fall."""

from __future__ import annotations

import numpy as np
import pytest

from emomtl_plugins.weightings.dwa import DynamicWeightAverage

TASKS = ("goemotions", "sst-2", "emobank")
EPOCHS = [
    # means 3, 1, 0.6
    [
        {"goemotions": 2.0, "sst-2": 1.0, "emobank": 0.5},
        {"goemotions": 4.0, "sst-2": 1.0, "emobank": 0.7},
    ],
    # 1.5, 0.8, 0.3
    [
        {"goemotions": 1.0, "sst-2": 0.9, "emobank": 0.3},
        {"goemotions": 2.0, "sst-2": 0.7, "emobank": 0.3},
    ],
    # 1.2, 0.2, 0.6
    [
        {"goemotions": 1.2, "sst-2": 0.2, "emobank": 0.6},
        {"goemotions": 1.2, "sst-2": 0.2, "emobank": 0.6},
    ],
    [{"goemotions": 9.0, "sst-2": 9.0, "emobank": 9.0}],
]


def _run(weighting, facts, moment, losses, epochs=EPOCHS):
    """The weights of every step, in the order of TASKS."""
    state, step, found = weighting.start(facts, []), 0, []
    for epoch, steps in enumerate(epochs):
        for values in steps:
            _, weights = weighting.combine(state, losses(values), moment(step=step, epoch=epoch))
            found.append([weights[task].item() if task in weights else None for task in TASKS])
            step += 1
    return found


def _softmax(ratios, temperature=2.0):
    powers = np.exp(np.array(ratios) / temperature)
    return (len(ratios) * powers / powers.sum()).tolist()


def test_three_windows_are_weighted_as_worked_out_by_hand(facts, moment, losses):
    found = _run(DynamicWeightAverage(), facts, moment, losses)
    assert found[:4] == [pytest.approx([1.0, 1.0, 1.0])] * 4
    assert found[4] == found[5] == pytest.approx(_softmax([0.5, 0.8, 0.5]), rel=1e-5)
    assert found[4] == pytest.approx([0.9490, 1.1026, 0.9490], abs=5e-4)
    assert found[6] == pytest.approx(_softmax([0.8, 0.25, 2.0]), rel=1e-5)


def test_weights_sum_to_the_number_of_tasks(facts, moment, losses):
    for weights in _run(DynamicWeightAverage(temperature=0.3), facts, moment, losses):
        assert sum(weights) == pytest.approx(3, rel=1e-6)


def test_a_window_of_steps_takes_the_place_of_the_epoch(facts, moment, losses):
    by_epoch = _run(DynamicWeightAverage(), facts, moment, losses)
    flat = [[step for steps in EPOCHS for step in steps]]
    assert _run(DynamicWeightAverage(window=2), facts, moment, losses, flat) == by_epoch


def test_a_task_missing_in_a_window_has_ratio_one(facts, moment, losses):
    epochs = [
        [{"goemotions": 2.0, "sst-2": 1.0, "emobank": None}],
        [{"goemotions": 1.0, "sst-2": 0.8, "emobank": 0.3}],
        [{"goemotions": 1.0, "sst-2": 1.0, "emobank": 1.0}],
    ]
    found = _run(DynamicWeightAverage(), facts, moment, losses, epochs)
    assert found[2] == pytest.approx(_softmax([0.5, 0.8, 1.0]), rel=1e-5)


def test_losses_that_are_not_finite_are_left_out(facts, moment, losses):
    poisoned = [
        [*EPOCHS[0], {"goemotions": float("nan"), "sst-2": float("inf"), "emobank": 0.6}],
        *EPOCHS[1:],
    ]
    clean = [[*EPOCHS[0], {"goemotions": 3.0, "sst-2": 1.0, "emobank": 0.6}], *EPOCHS[1:]]
    weighting = DynamicWeightAverage()
    for a, b in zip(
        *(_run(weighting, facts, moment, losses, epochs) for epochs in (poisoned, clean)),
        strict=True,
    ):
        assert a == pytest.approx(b, rel=1e-5)


def test_micro_batches_count_by_their_share_of_the_step(facts, moment, losses):
    weighting = DynamicWeightAverage()
    state = weighting.start(facts, [])
    weighting.combine(state, losses({"sst-2": 1.0}), moment(share=0.75))
    weighting.combine(state, losses({"sst-2": 5.0}), moment(share=0.25))
    weighting.combine(state, losses(), moment(epoch=1))
    assert state.get_buffer("last").tolist() == pytest.approx([0.7, 2.0, 0.2])

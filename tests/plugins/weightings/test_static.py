"""Weights that never change."""

from __future__ import annotations

import pytest

from emomtl import EmomtlError
from emomtl_plugins.weightings.static import Equal, Static


def test_equal_is_the_plain_sum(facts, moment, losses):
    total, weights = Equal().combine(Equal().start(facts, []), losses(), moment())
    assert total.item() == pytest.approx(2.4)
    assert {task: weight.item() for task, weight in weights.items()} == dict.fromkeys(facts, 1.0)


def test_static_multiplies_and_leaves_unnamed_tasks_at_one(facts, moment, losses):
    weighting = Static(weights={"sst-2": 0.5, "emobank": 10})
    total, weights = weighting.combine(weighting.start(facts, []), losses(), moment())
    assert total.item() == pytest.approx(0.7 + 0.75 + 2.0)
    assert {task: weight.item() for task, weight in weights.items()} == {
        "goemotions": 1.0,
        "sst-2": 0.5,
        "emobank": 10.0,
    }


def test_everything_wrong_with_the_weights_is_said_at_once(facts):
    with pytest.raises(EmomtlError) as caught:
        Static(weights={"sst2": 1.0, "emobank": -0.5, "goemotions": float("inf")}).check(facts)
    assert [problem.found for problem in caught.value.problems] == [
        "'sst2' is not a task of the run; did you mean 'sst-2'?",
        "'emobank' has the weight -0.5",
        "'goemotions' has the weight inf",
    ]
    assert {problem.place for problem in caught.value.problems} == {"weighting.weights"}

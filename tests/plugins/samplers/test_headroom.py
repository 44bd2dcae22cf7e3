"""Sampling by the gap between a task's goal and its last score."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emomtl import EmomtlError, Moment
from emomtl_plugins.samplers.headroom import Headroom
from emomtl_plugins.samplers.power import Power

SIZES = {"far": 100, "near": 400, "other": 400}


def at(**scores: float) -> Moment:
    return Moment(
        9, 0.5, 0, 1, SIZES, scores={task: {"macro_f1": score} for task, score in scores.items()}
    )


def test_probabilities_are_the_gaps_to_the_goals_of_the_paper() -> None:
    """Worked out by hand: gaps .3, .1 and .1 of goals .8, .6 and .5."""
    found = Headroom(goals={"far": 0.8, "near": 0.6, "other": 0.5}, least=0.0).probabilities(
        at(far=0.5, near=0.5, other=0.4)
    )
    assert found == pytest.approx({"far": 0.6, "near": 0.2, "other": 0.2})


def test_the_default_goal_is_the_best_possible_score() -> None:
    found = Headroom(goals={"far": 0.8}, least=0.0).probabilities(at(far=0.4, near=0.6, other=0.8))
    assert found == pytest.approx({"far": 0.4, "near": 0.4, "other": 0.2})


def test_sizes_count_with_their_power() -> None:
    found = Headroom(alpha=0.5, least=0.0).probabilities(at(far=0.4, near=0.8, other=0.8))
    assert found == pytest.approx(
        {"far": 10 * 0.6 / 14, "near": 20 * 0.2 / 14, "other": 20 * 0.2 / 14}
    )


def test_a_task_at_its_goal_keeps_its_least_part() -> None:
    found = Headroom(goals={"near": 0.5, "other": 0.5}, least=0.3).probabilities(
        at(far=0.9, near=0.7, other=0.5)
    )
    assert found == pytest.approx({"far": 0.7 + 0.1, "near": 0.1, "other": 0.1})


@pytest.mark.parametrize("scores", [{}, {"far": 1.0, "near": 1.0, "other": 1.0}])
def test_without_gaps_the_sizes_decide(scores: dict[str, float]) -> None:
    for alpha in (0.0, 0.5, 1.0):
        assert Headroom(alpha=alpha).probabilities(at(**scores)) == Power(
            alpha=alpha
        ).probabilities(at())


def test_a_task_without_a_score_counts_with_the_mean_gap() -> None:
    found = Headroom(least=0.0).probabilities(at(far=0.5, near=0.7))
    assert found == pytest.approx({"far": 0.5 / 1.2, "near": 0.3 / 1.2, "other": 0.4 / 1.2})


def test_an_unknown_metric_of_a_task_is_refused() -> None:
    moment = replace(
        at(far=0.5, near=0.5, other=0.5), scores={"far": {"macro_f1": 0.1, "mcc": 0.9}}
    )
    assert Headroom(metric={"far": "mcc"}, least=0.0).probabilities(moment)["far"] == pytest.approx(
        1 / 3
    )
    with pytest.raises(EmomtlError, match="'far' is not scored by 'f2'"):
        Headroom(metric={"far": "f2"}).probabilities(moment)


@pytest.mark.parametrize("options", [{"goals": {"fare": 0.5}}, {"metric": {"fare": "mcc"}}])
def test_unknown_tasks_are_refused(options: dict[str, dict[str, str]]) -> None:
    with pytest.raises(EmomtlError, match="did you mean 'far'"):
        Headroom(**options).check(SIZES)  # options of either kind

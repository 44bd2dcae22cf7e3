"""Weights from validation scores."""

from __future__ import annotations

import numpy as np
import pytest

from emomtl import EmomtlError
from emomtl_plugins.weightings.task_prioritisation import TaskPrioritisation


def _scores(goemotions, sst2, emobank):
    found = {
        "goemotions": {"macro_f1": goemotions, "micro_f1": 0.99},
        "sst-2": {"macro_f1": sst2},
        "emobank": {"pearson_r": emobank},
    }
    return {task: scores for task, scores in found.items() if None not in scores.values()}


def _weights(weighting, state, now, losses):
    _, weights = weighting.combine(state, losses(), now)
    return {task: weight.item() for task, weight in weights.items()}


def _focal(*scores, gamma=1.0):
    k = np.array(scores)
    return -((1 - k) ** gamma) * np.log(k)


def test_one_evaluation_gives_the_papers_weights(facts, moment, losses):
    weighting = TaskPrioritisation(normalise=False)
    now = moment(evaluation=1, scores=_scores(0.5, 0.9, 0.25))
    found = _weights(weighting, weighting.start(facts, []), now, losses)
    assert found == pytest.approx(
        {"goemotions": 0.346574, "sst-2": 0.0105361, "emobank": 1.039721}, rel=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_weights_are_scaled_to_sum_to_the_number_of_tasks(facts, moment, losses, gamma):
    weighting = TaskPrioritisation(gamma=gamma)
    now = moment(evaluation=1, scores=_scores(0.5, 0.9, 0.25))
    raw = _focal(0.5, 0.9, 0.25, gamma=gamma)
    found = _weights(weighting, weighting.start(facts, []), now, losses)
    assert list(found.values()) == pytest.approx(3 * raw / raw.sum(), rel=1e-5)


def test_before_the_first_evaluation_every_weight_is_one(facts, moment, losses):
    weighting = TaskPrioritisation()
    assert _weights(weighting, weighting.start(facts, []), moment(), losses) == dict.fromkeys(
        facts, 1.0
    )


def test_the_running_score_moves_once_an_evaluation(facts, moment, losses):
    weighting = TaskPrioritisation(smoothing=0.25, normalise=False)
    state = weighting.start(facts, [])
    for evaluation, scores in ((1, (0.4, 0.8, 0.2)), (2, (0.8, 0.4, 0.6))):
        for step in range(3):
            now = moment(
                step=10 * evaluation + step, evaluation=evaluation, scores=_scores(*scores)
            )
            found = _weights(weighting, state, now, losses)
    assert state.get_buffer("kpi").tolist() == pytest.approx([0.5, 0.7, 0.3])
    assert list(found.values()) == pytest.approx(_focal(0.5, 0.7, 0.3), rel=1e-5)


def test_a_task_without_a_score_keeps_weight_one_beside_the_others(facts, moment, losses):
    weighting = TaskPrioritisation()
    state = weighting.start(facts, [])
    found = _weights(weighting, state, moment(evaluation=1, scores=_scores(0.5, 0.8, None)), losses)
    assert found["emobank"] == 1.0
    assert found["goemotions"] + found["sst-2"] == pytest.approx(2.0)


@pytest.mark.parametrize("undefined", [float("nan"), -0.0, -0.4, 0.0, 1.0])
def test_scores_at_and_past_the_edges_give_finite_weights(facts, moment, losses, undefined):
    weighting = TaskPrioritisation()
    found = _weights(
        weighting,
        weighting.start(facts, []),
        moment(evaluation=1, scores=_scores(0.5, 1.0, undefined)),
        losses,
    )
    assert np.isfinite(list(found.values())).all()
    assert sum(found.values()) == pytest.approx(3.0, rel=1e-5)


def test_perfect_scores_give_equal_weights(facts, moment, losses):
    weighting = TaskPrioritisation(gamma=10.0)
    found = _weights(
        weighting,
        weighting.start(facts, []),
        moment(evaluation=1, scores=_scores(1.0, 1.0, 1.0)),
        losses,
    )
    assert list(found.values()) == pytest.approx([1.0] * 3)


def test_an_undefined_score_leaves_the_running_score_alone(facts, moment, losses):
    weighting = TaskPrioritisation()
    state = weighting.start(facts, [])
    _weights(weighting, state, moment(evaluation=1, scores=_scores(0.5, 0.8, 0.4)), losses)
    later = _scores(0.5, 0.8, 0.4) | {"emobank": {"pearson_r": None}}
    _weights(weighting, state, moment(evaluation=2, scores=later), losses)
    assert state.get_buffer("kpi").tolist() == pytest.approx([0.5, 0.8, 0.4])


def test_a_named_metric_takes_the_place_of_the_default(facts, moment, losses):
    weighting = TaskPrioritisation(metric={"goemotions": "micro_f1"}, normalise=False)
    found = _weights(
        weighting,
        weighting.start(facts, []),
        moment(evaluation=1, scores=_scores(0.5, 0.9, 0.25)),
        losses,
    )
    assert list(found.values()) == pytest.approx(_focal(0.99, 0.9, 0.25), rel=1e-4)


def test_an_unscored_metric_is_refused_with_the_known(facts, moment, losses):
    weighting = TaskPrioritisation(metric={"goemotions": "macro-f1"})
    state = weighting.start(facts, [])
    with pytest.raises(
        EmomtlError, match=r"'goemotions' is not scored by 'macro-f1' \(known: macro_f1, micro_f1\)"
    ):
        _weights(weighting, state, moment(evaluation=1, scores=_scores(0.5, 0.9, 0.25)), losses)


def test_a_metric_of_an_unknown_task_is_refused(facts):
    with pytest.raises(
        EmomtlError,
        match=r"weighting\.metric: 'sst2' is not a task of the run; did you mean 'sst-2'\?",
    ):
        TaskPrioritisation(metric={"sst2": "macro_f1"}).check(facts)

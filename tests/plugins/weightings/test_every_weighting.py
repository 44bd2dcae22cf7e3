"""What holds for every weighting that is offered."""

from __future__ import annotations

import copy

import pytest
import torch

SCORES = {
    "goemotions": {"macro_f1": 0.4},
    "sst-2": {"macro_f1": 0.9},
    "emobank": {"pearson_r": 0.3},
}


def _steps(moment, first: int, last: int):
    """Moments of a run with an epoch of three steps and an evaluation of four."""
    for step in range(first, last):
        scores = {
            task: {name: value + step / 100 for name, value in found.items()}
            for task, found in SCORES.items()
        }
        done = step // 4
        yield moment(
            step=step,
            epoch=step // 3,
            progress=step / 20,
            evaluation=done,
            scores=scores if done else {},
        )


def _train(weighting, state, moment, losses, first: int, last: int):
    """The totals and weights of some steps, with plain gradient descent on the weighting's own
    parameters.
    """
    found = []
    for now in _steps(moment, first, last):
        given = losses(
            {
                "goemotions": 0.7 / (1 + now.step),
                "sst-2": 1.5 if now.step % 2 else None,
                "emobank": 0.2 + now.step / 50,
            }
        )
        total, weights = weighting.combine(state, given, now)
        total.backward()
        found.append((total.item(), {task: weight.item() for task, weight in weights.items()}))
        with torch.no_grad():
            for parameter in state.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
    return found


def test_the_tasks_of_the_run_are_accepted(weighting, facts):
    assert weighting.check(facts) is None


def test_each_gradient_is_the_reported_weight(weighting, facts, moment, losses):
    state = weighting.start(facts, [])
    for now in _steps(moment, 0, 10):
        given = losses()
        total, weights = weighting.combine(state, given, now)
        assert (total.shape, total.dtype) == ((), torch.float32)
        total.backward()
        assert list(weights) == list(given)
        for task, weight in weights.items():
            assert (weight.shape, weight.dtype, weight.requires_grad) == ((), torch.float32, False)
            assert given[task].grad.item() == pytest.approx(weight.item(), rel=1e-6)
            assert weight.item() >= 0


def test_tasks_without_a_loss_have_no_weight_and_no_gradient(weighting, facts, moment, losses):
    state = weighting.start(facts, [])
    given = losses({"goemotions": None, "emobank": None})
    total, weights = weighting.combine(state, given, moment())
    total.backward()
    assert list(weights) == ["sst-2"]
    assert sum(parameter.grad is not None for parameter in state.parameters()) <= 1


def test_losses_in_half_precision_are_combined_in_single(weighting, facts, moment):
    given = {task: torch.tensor(0.3, dtype=torch.bfloat16) for task in facts}
    total, weights = weighting.combine(weighting.start(facts, []), given, moment())
    assert total.dtype == torch.float32
    assert all(weight.dtype == torch.float32 for weight in weights.values())


def test_a_saved_state_goes_on_as_if_it_had_never_stopped(weighting, facts, moment, losses):
    whole = weighting.start(facts, [])
    expected = _train(weighting, whole, moment, losses, 0, 16)
    first = weighting.start(facts, [])
    begun = _train(weighting, first, moment, losses, 0, 7)
    second = weighting.start(facts, [])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert begun + _train(weighting, second, moment, losses, 7, 16) == expected


def test_micro_batches_of_a_step_add_up(weighting, facts, moment, losses):
    state = weighting.start(facts, [])
    now = moment(share=0.25)
    given = [losses() for _ in range(4)]
    used = [weighting.backward(state, part, now) for part in given]
    assert all(weights == used[0] for weights in used)
    for task in facts:
        assert sum(part[task].grad.item() for part in given) == pytest.approx(
            used[0][task].item(), rel=1e-6
        )


def test_no_decision_hangs_on_a_value_of_the_device(weighting, facts, moment):
    """On the meta device tensors have no values, so whatever would read one fails."""
    state = weighting.start(facts, []).to("meta")
    for now in _steps(moment, 0, 10):
        total, weights = weighting.combine(
            state, {task: torch.rand((), device="meta") for task in facts}, now
        )
        assert {total.device.type, *(weight.device.type for weight in weights.values())} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_device(weighting, facts, moment):
    state = weighting.start(facts, []).to("cuda")
    given = {task: torch.rand((), device="cuda") for task in facts}
    torch.cuda.set_sync_debug_mode("error")
    try:
        for now in _steps(moment, 0, 10):
            weighting.combine(state, given, now)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_no_task_name_collides_with_the_state(weighting, facts, moment):
    names = ["keys", "values", "update", "training", "T_destination", "a-b"]
    if type(weighting).__name__ == "Static":
        names.append("sst-2")
    tasks = dict.fromkeys(names, facts["sst-2"])
    given = {name: torch.tensor(1.0) for name in names}
    total, weights = weighting.combine(
        weighting.start(tasks, []), given, moment(sizes=dict.fromkeys(names, 9))
    )
    assert list(weights) == names
    assert torch.isfinite(total)

"""Loss weightings beside TorchJD's scalarizers: the same gradient for the same losses, to 1e-5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd import scalarization as oracle

from emomtl import TaskFacts
from emomtl_plugins.weightings.dwa import DynamicWeightAverage
from emomtl_plugins.weightings.famo import Famo
from emomtl_plugins.weightings.geometric_mean import GeometricMean
from emomtl_plugins.weightings.imtl_l import ImtlLoss
from emomtl_plugins.weightings.random_weights import STREAM, Random
from emomtl_plugins.weightings.scale_invariant import ScaleInvariant
from emomtl_plugins.weightings.stch import SmoothTchebycheff
from emomtl_plugins.weightings.uncertainty import Uncertainty

LOSSES = st.lists(st.floats(0.01, 20), min_size=2, max_size=5)


def _tasks(n):
    return {f"task-{i}": TaskFacts(100, 2, "numbers") for i in range(n)}


def _gradient(weighting, values, moment, state=None, **changes):
    """The gradient of the total by each loss, and the state."""
    tasks = _tasks(len(values))
    state = state or weighting.start(tasks, [])
    losses = {
        task: torch.tensor(value, requires_grad=True)
        for task, value in zip(tasks, values, strict=True)
    }
    weighting.backward(state, losses, moment(sizes=dict.fromkeys(tasks, 100), **changes))
    return torch.stack([loss.grad for loss in losses.values()]), state


def _oracle(scalarizer, values):
    losses = torch.tensor(values, requires_grad=True)
    scalarizer(losses).backward()
    return losses.grad


@settings(max_examples=40, deadline=None)
@given(values=LOSSES)
def test_the_geometric_mean_is_torchjds(moment, values):
    expected = _oracle(oracle.GeometricMean(), values)
    torch.testing.assert_close(
        _gradient(GeometricMean(total="one"), values, moment)[0], expected, rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        _gradient(GeometricMean(), values, moment)[0], len(values) * expected, rtol=1e-5, atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(values=LOSSES, factor=st.floats(0.01, 100))
def test_the_geometric_mean_ignores_the_scale_of_a_loss(moment, values, factor):
    """The weight of a loss times the loss, which is what a task's gradient is in proportion to, is
    the same for all.
    """
    for weighting in (GeometricMean(), ScaleInvariant()):
        scaled = [values[0] * factor, *values[1:]]
        found = _gradient(weighting, scaled, moment)[0] * torch.tensor(scaled)
        torch.testing.assert_close(found, found[:1].expand(len(values)), rtol=1e-4, atol=0)


@settings(max_examples=40, deadline=None)
@given(values=LOSSES)
def test_scale_invariant_is_the_sum_of_logarithms(moment, values):
    losses = torch.tensor(values, requires_grad=True)
    losses.log().sum().backward()
    torch.testing.assert_close(
        _gradient(ScaleInvariant(), values, moment)[0], losses.grad, rtol=1e-5, atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(values=LOSSES, mu=st.floats(0.01, 3))
def test_stch_is_torchjds(moment, values, mu):
    expected = _oracle(oracle.STCH(mu), values)
    torch.testing.assert_close(
        _gradient(SmoothTchebycheff(mu=mu, total="one"), values, moment)[0],
        expected,
        rtol=1e-4,
        atol=1e-6,
    )
    assert _gradient(SmoothTchebycheff(mu=mu), values, moment)[0].sum().item() == pytest.approx(
        len(values), rel=1e-4
    )


def test_stch_with_preferences_and_an_ideal_is_torchjds(moment):
    values = [0.9, 0.5, 0.7]
    weighting = SmoothTchebycheff(
        mu=0.5, preferences={"task-0": 2.0}, ideal={"task-2": 0.3}, total="one"
    )
    expected = _oracle(
        oracle.STCH(0.5, torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.0, 0.0, 0.3])), values
    )
    torch.testing.assert_close(_gradient(weighting, values, moment)[0], expected)


def test_stch_goes_to_the_maximum_and_to_the_mean(moment):
    values = [0.9, 0.5, 0.7]
    assert _gradient(SmoothTchebycheff(mu=1e-4), values, moment)[0].tolist() == pytest.approx(
        [3, 0, 0]
    )
    assert _gradient(SmoothTchebycheff(mu=1e5), values, moment)[0].tolist() == pytest.approx(
        [1, 1, 1], abs=1e-4
    )


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Uncertainty(init=0.0), oracle.UW), (ImtlLoss(), oracle.IMTLL)]
)
def test_learned_scales_go_where_torchjds_go(moment, ours, theirs):
    values, state = [2.0, 0.5, 0.1], None
    scalarizer = theirs(3)
    second = torch.optim.Adam(scalarizer.parameters(), lr=0.05)
    first = None
    for step in range(30):
        losses = [value * 0.97**step for value in values]
        found, state = _gradient(ours, losses, moment, state)
        first = first or torch.optim.Adam(state.parameters(), lr=0.05)
        torch.testing.assert_close(found, _oracle(scalarizer, losses), rtol=1e-5, atol=1e-6)
        for optimiser in (first, second):
            optimiser.step()
            optimiser.zero_grad()


def test_imtl_l_brings_every_weighted_loss_to_one(moment):
    values, state = [2.0, 0.5, 0.1], None
    for _ in range(400):
        _, state = _gradient(ImtlLoss(), values, moment, state)
        with torch.no_grad():
            for parameter in state.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
    assert (
        _gradient(ImtlLoss(), values, moment, state)[0] * torch.tensor(values)
    ).tolist() == pytest.approx([1, 1, 1], rel=1e-3)


@pytest.mark.parametrize("kind", [Uncertainty, ImtlLoss])
def test_the_term_of_a_task_counts_once_a_step(moment, kind):
    """A loss comes with its part of the task's texts over the micro-batch's share: 0.8 of both, or
    twice 0.8 of one half.
    """
    tasks = _tasks(2)
    sizes = dict.fromkeys(tasks, 100)
    whole = [({"task-0": 0.4, "task-1": 0.8}, 1.0, {})]
    halves = [
        ({"task-0": 0.4, "task-1": 1.6}, 0.5, {"task-0": 0.5, "task-1": 1.0}),
        ({"task-0": 0.4}, 0.5, {"task-0": 0.5}),
    ]
    slopes = []
    for cut in (whole, halves):
        state = kind().start(tasks, [])
        for values, share, parts in cut:
            losses = {
                task: torch.tensor(value, requires_grad=True) for task, value in values.items()
            }
            kind().backward(state, losses, moment(sizes=sizes, share=share, parts=parts))
        slopes.append([parameter.grad.item() for parameter in state.parameters()])
    assert slopes[0] == pytest.approx(slopes[1])


def test_dwa_is_torchjds(moment):
    """TorchJD's windows are those that it is told of: one a call here."""
    values = [[2.0, 1.0, 0.5], [1.5, 0.9, 0.5], [1.0, 0.3, 0.45], [0.9, 0.25, 0.1]]
    scalarizer, state, ours = oracle.DWA(temperature=2.0), None, DynamicWeightAverage(window=1)
    for step, losses in enumerate(values):
        found, state = _gradient(ours, losses, moment, state, step=step)
        torch.testing.assert_close(found, _oracle(scalarizer, losses), rtol=1e-5, atol=1e-6)
        scalarizer.step()


def test_random_is_torchjds_for_the_same_draw(moment, monkeypatch):
    values = [2.0, 1.0, 0.5]
    drawn = np.random.default_rng([STREAM, 17, 0]).standard_normal(3)
    monkeypatch.setattr(
        torch, "randn", lambda *shape, **more: torch.tensor(drawn, dtype=torch.float32)
    )
    expected = _oracle(oracle.Random(), values)
    monkeypatch.undo()
    torch.testing.assert_close(_gradient(Random(total="one"), values, moment)[0], expected)


def _famo_run(moment, steps, total):
    """Losses that fall at different rates, and what TorchJD's FAMO and ours make of them."""
    tasks = _tasks(3)
    weighting, scalarizer, state = Famo(total=total), oracle.FAMO(3), None
    for step in range(steps):
        before = [2.0 * 0.99**step, 0.5 * 0.9**step, 0.1 * 0.95**step]
        after = [2.0 * 0.99 ** (step + 1), 0.5 * 0.9 ** (step + 1), 0.1 * 0.95 ** (step + 1)]
        found, state = _gradient(weighting, before, moment, state)
        expected = _oracle(scalarizer, before)
        yield found, expected, state
        scalarizer.update(torch.tensor(after))
        known = [
            dict(zip(tasks, map(torch.tensor, values), strict=True)) for values in (before, after)
        ]
        weighting.look(state, *known, moment(sizes=dict.fromkeys(tasks, 100)))


def test_famo_is_torchjds_over_forty_steps(moment):
    for found, expected, _ in _famo_run(moment, 40, "one"):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert found.sum().item() == pytest.approx(1, rel=1e-5)


def test_famo_raises_the_weight_of_the_slowest_task(moment):
    *_, (found, _, state) = _famo_run(moment, 40, "tasks")
    xi = state.get_buffer("xi").tolist()
    assert xi[0] > xi[2] > xi[1]
    assert found.sum().item() == pytest.approx(3, rel=1e-5)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_famo_ignores_a_step_that_is_not_finite(moment, broken):
    tasks = _tasks(2)
    state = Famo().start(tasks, [])
    fine = {task: torch.tensor(0.5) for task in tasks}
    Famo().look(
        state,
        fine,
        {task: loss * broken for task, loss in fine.items()},
        moment(sizes=dict.fromkeys(tasks, 9)),
    )
    assert state.get_buffer("xi").tolist() == [0.0, 0.0]
    assert state.get_buffer("xi_steps").item() == 0


def test_adam_is_torchs():
    from torch import nn

    from emomtl_plugins.weightings.adam import adam_step, add_vector

    state, other = nn.Module(), nn.Parameter(torch.tensor([0.3, -0.2, 1.0]))
    add_vector(state, "v", other.detach())
    optimiser = torch.optim.Adam([other], lr=0.025, weight_decay=0.01)
    for step in range(25):
        gradient = torch.tensor([0.5, -1.0, 0.01]) * 0.9**step
        other.grad = gradient.clone()
        optimiser.step()
        adam_step(state, "v", gradient, 0.025, 0.01)
        torch.testing.assert_close(state.get_buffer("v"), other.detach(), rtol=1e-5, atol=1e-7)

"""Weights that even out the sizes of gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from emomtl import SharedParameters, TaskFacts
from emomtl_plugins.weightings.gradnorm import GradNorm, slope

POSITIVE = st.floats(0.05, 20)
NUMBERS = st.integers(2, 5).flatmap(
    lambda n: st.tuples(*[st.lists(POSITIVE, min_size=n, max_size=n)] * 3)
)


def _by_autograd(w, norms, ratios, alpha):
    """The slope of the paper's L_grad (equation 2), written out and left to autograd."""
    w = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    sizes = w * torch.tensor(norms, dtype=torch.float64)
    r = torch.tensor(ratios, dtype=torch.float64)
    r = r / r.mean()
    target = (sizes.mean() * r**alpha).detach()
    (sizes - target).abs().sum().backward()
    return w.grad


@settings(max_examples=60, deadline=None)
@given(numbers=NUMBERS, alpha=st.floats(0, 3))
def test_the_slope_is_that_of_the_paper_s_loss(numbers, alpha):
    found = slope(*(torch.tensor(part, dtype=torch.float64) for part in numbers), alpha)
    torch.testing.assert_close(found, _by_autograd(*numbers, alpha))


class _Bench:
    """Losses that are at levels of one's own, with gradients of the norms `sizes` on a shared
    parameter.
    """

    def __init__(self, weighting, sizes, moment):
        self.weighting, self.sizes = weighting, sizes
        self.tasks = {f"task-{i}": TaskFacts(9, 2, "numbers") for i in range(len(sizes))}
        self.shared = nn.Parameter(torch.ones(4))
        self.state = weighting.start(self.tasks, SharedParameters([self.shared]))
        self.moment = moment

    def step(self, levels, share=1.0):
        """One step at which the losses are `levels`; the weights that it used."""
        now = self.moment(sizes=dict.fromkeys(self.tasks, 9), share=share)
        for _ in range(round(1 / share)):
            losses = {}
            for task, size, level in zip(self.tasks, self.sizes, levels, strict=True):
                pull = size * self.shared.mean() * 2  # norm: size
                losses[task] = pull - pull.detach() + level
            used = self.weighting.backward(self.state, losses, now)
        self.weighting.finish(self.state, now)
        return [weight.item() for weight in used.values()]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_weights_sum_to_t_and_even_out_gradients(moment, share):
    bench = _Bench(GradNorm(), [1.0, 4.0, 0.5], moment)
    for _ in range(50):
        found = bench.step([1.0, 1.0, 1.0], share)
        assert sum(found) == pytest.approx(3, rel=1e-5)
    assert found[2] > found[0] > found[1]
    sizes = np.array(found) * np.array([1.0, 4.0, 0.5])
    assert sizes.max() / sizes.min() < 8 / 2


def test_gradient_norms_converge_to_rates_to_the_power_alpha(moment):
    """The fixed point: w_t n_t = mean(w n) r_t^alpha, reached to within what Adam's rate leaves of
    a swing.
    """
    bench = _Bench(GradNorm(alpha=1.0, lr=0.002), [1.0, 2.0, 0.5], moment)
    bench.step([1.0, 1.0, 1.0])
    for _ in range(1500):
        found = bench.step([0.5, 0.4, 0.6])
    sizes = np.array(found) * [1.0, 2.0, 0.5]
    assert (sizes / sizes.mean()).tolist() == pytest.approx([1.0, 0.8, 1.2], rel=0.03)


def test_the_task_whose_loss_falls_slowest_gets_more_weight(moment):
    """The sign: gradients are equal, so only the rates tell the tasks apart (gradnorm-pytorch 0.2.3
    gives the fast one more).
    """
    bench = _Bench(GradNorm(), [1.0, 1.0, 1.0], moment)
    for step in range(12):
        found = bench.step([0.99**step, 0.9**step, 0.95**step])
    assert found[0] > found[2] > found[1]
    still = _Bench(GradNorm(alpha=0.0), [1.0, 1.0, 1.0], moment)
    for step in range(12):
        found = still.step([0.99**step, 0.9**step, 0.95**step])
    assert found == pytest.approx([1, 1, 1])


def test_the_losses_of_the_first_step_are_saved(moment):
    bench = _Bench(GradNorm(), [1.0, 1.0], moment)
    bench.step([0.8, 0.4])
    bench.step([0.1, 0.1])
    assert bench.state.get_buffer("first").tolist() == pytest.approx([0.8, 0.4])
    assert set(bench.state.state_dict()) == {"w", "w_mean", "w_square", "w_steps", "first"}
    assert not bench.state.get_buffer("rows").any()
    assert not bench.state.get_buffer("losses").any()


def test_a_step_that_is_not_finite_changes_nothing(moment):
    bench = _Bench(GradNorm(), [1.0, 2.0], moment)
    bench.step([1.0, 1.0])
    before = {name: tensor.clone() for name, tensor in bench.state.state_dict().items()}
    bench.step([float("nan"), 1.0])
    bench.step([1.0, float("inf")])
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in bench.state.state_dict().items()
    )


def test_the_default_scope_is_the_last_layer(moment):
    first, last = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(3))
    tasks = {"a": TaskFacts(9, 2, "numbers"), "b": TaskFacts(9, 2, "numbers")}
    shared = SharedParameters([first, last], last=[last])
    assert GradNorm().start(tasks, shared).get_buffer("rows").shape == (2, 3)
    assert GradNorm(scope="all").start(tasks, shared).get_buffer("rows").shape == (2, 8)
    assert GradNorm().start(tasks, [first, last]).get_buffer("rows").shape == (2, 8)

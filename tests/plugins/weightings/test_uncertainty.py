"""Weights from a learned noise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from emomtl_plugins.weightings.uncertainty import Uncertainty

KNOWN = {"goemotions": 0.7, "sst-2": 1.5, "emobank": 0.2}


def _s(state):
    return {task: state.get_parameter(f"s.task_{task}") for task in KNOWN}


def test_total_and_weights_are_the_papers_at_the_start(facts, moment, losses):
    weighting = Uncertainty(init=0.3)
    total, weights = weighting.combine(weighting.start(facts, []), losses(), moment())
    e = math.exp(-0.3)
    assert total.item() == pytest.approx(e * 0.7 + e * 1.5 + e * 0.2 / 2 + 3 * 0.3 / 2)
    assert {task: weight.item() for task, weight in weights.items()} == pytest.approx(
        {"goemotions": e, "sst-2": e, "emobank": e / 2}
    )


def test_the_default_starts_at_the_optimum_of_the_base_rate(facts):
    bases = {"goemotions": 4.2, "sst-2": 0.69, "emobank": 1.5}
    known = {task: replace(facts[task], base_loss=base) for task, base in bases.items()}
    found = {task: s.item() for task, s in _s(Uncertainty().start(known, [])).items()}
    assert found == pytest.approx(
        {"goemotions": math.log(8.4), "sst-2": math.log(1.38), "emobank": math.log(1.5)}
    )


def test_a_fixed_loss_is_best_weighted_by_its_analytic_optimum(facts, moment, losses):
    """d/ds (e^-s L + s/2) = 0 at e^s = 2L; d/ds (e^-s L / 2 + s/2) = 0 at e^s = L."""
    weighting = Uncertainty()
    state = weighting.start(facts, [])
    optimiser = torch.optim.LBFGS(state.parameters(), lr=0.5, max_iter=200, tolerance_grad=1e-9)

    def closure():
        optimiser.zero_grad()
        total, _ = weighting.combine(state, losses(), moment())
        total.backward()
        return total

    optimiser.step(closure)
    found = {task: math.exp(s.item()) for task, s in _s(state).items()}
    assert found == pytest.approx({"goemotions": 1.4, "sst-2": 3.0, "emobank": 0.2}, rel=1e-3)


def test_only_the_tasks_of_a_step_are_learned(facts, moment, losses):
    weighting = Uncertainty()
    state = weighting.start(facts, [])
    optimiser = torch.optim.AdamW(state.parameters(), lr=0.1, weight_decay=0.0)
    for given in (losses(), losses({"emobank": None})):
        before = {task: s.item() for task, s in _s(state).items()}
        optimiser.zero_grad()
        weighting.combine(state, given, moment())[0].backward()
        optimiser.step()
        moved = {task for task, s in _s(state).items() if s.item() != before[task]}
        assert moved == set(given)


def test_the_parameters_are_named_after_their_tasks(facts):
    assert set(Uncertainty().start(facts, []).state_dict()) == {
        "s.task_goemotions",
        "s.task_sst-2",
        "s.task_emobank",
    }

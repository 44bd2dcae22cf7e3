"""Probes of tasks whose gradients, cosines and look-ahead gains are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emomtl.analyses.affinity.probe import WHOLE, Measurement, layer_of, probe
from emomtl.errors import EmomtlError

Losses = Callable[[], Mapping[str, Tensor]]


def towards(
    centres: Mapping[str, list[float]], at: list[float]
) -> tuple[Losses, dict[str, nn.Parameter]]:
    """Tasks that pull one shared vector w to their centres: L = |w − c|² / 2, with the gradient w −
    c.
    """
    w = nn.Parameter(torch.tensor(at, dtype=torch.float64))
    fixed = {task: torch.tensor(centre, dtype=torch.float64) for task, centre in centres.items()}
    return lambda: {task: ((w - centre) ** 2).sum() / 2 for task, centre in fixed.items()}, {
        "layer.0.w": w
    }


def between(found: Measurement, figure: str, one: str, other: str) -> float:
    matrix = found.cosines[WHOLE] if figure == "cosine" else getattr(found, figure)
    return float(matrix[found.tasks.index(one), found.tasks.index(other)])


def test_gradients_in_the_same_the_opposite_and_no_common_direction_have_cosines_1_minus_1_and_0() -> (
    None
):
    losses, parameters = towards(
        {"it": [1.0, 0.0], "ally": [3.0, 0.0], "foe": [-2.0, 0.0], "stranger": [0.0, 5.0]},
        [0.0, 0.0],
    )
    found = probe(losses, parameters, 0.1)
    assert [between(found, "cosine", "it", other) for other in ("ally", "foe", "stranger")] == [
        1.0,
        -1.0,
        0.0,
    ]
    assert between(found, "magnitudes", "it", "ally") == pytest.approx(2 * 1 * 3 / (1 + 9))


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.5])
def test_the_lookahead_is_that_of_the_closed_form(rate: float) -> None:
    """After a step on i, w − c_j is (w − c_j) − rate (w − c_i) / |w − c_i|."""
    centres = {"it": [1.0, 0.0], "ally": [3.0, 0.0], "foe": [-2.0, 0.0], "stranger": [0.0, 5.0]}
    losses, parameters = towards(centres, [0.0, 0.0])
    found = probe(losses, parameters, rate)
    for i, here in centres.items():
        for j, there in centres.items():
            unit = [a / math.hypot(*here) for a in here]
            after = sum((-b + rate * a) ** 2 for a, b in zip(unit, there, strict=True)) / 2
            before = sum(b**2 for b in there) / 2
            assert between(found, "lookahead", i, j) == pytest.approx(1 - after / before, rel=1e-10)
    assert between(found, "lookahead", "ally", "it") > 0 > between(found, "lookahead", "foe", "it")
    assert between(found, "lookahead", "stranger", "it") < 0, (
        "a step across the gradient is of second order, and away"
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=2, max_size=4))
def test_lookahead_of_a_small_step_is_its_length_times_the_slope_over_the_loss(
    centres: list[list[float]],
) -> None:
    losses, parameters = towards(
        {str(i): one for i, one in enumerate(centres)}, [0.7, -0.2, 4.0, 5.0]
    )
    found = probe(losses, parameters, 1e-6)
    slopes = np.array([0.7, -0.2, 4.0, 5.0]) - np.array(centres)
    lengths = np.linalg.norm(slopes, axis=1)
    wanted = (slopes @ slopes.T / lengths[:, None]) / (lengths**2 / 2)[None]
    assert found.lookahead / 1e-6 == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    assert found.cosines[WHOLE] == pytest.approx(found.cosines[WHOLE].T)


def test_a_task_stands_to_itself_in_cosine_1_and_its_gain_knows_no_scale() -> None:
    losses, parameters = towards({"once": [1.0, 2.0], "again": [1.0, 2.0]}, [0.0, 0.0])
    found = probe(lambda: {**losses(), "louder": 7 * losses()["once"]}, parameters, 1e-3)
    assert found.cosines[WHOLE] == pytest.approx(np.ones((3, 3)))
    assert between(found, "lookahead", "once", "again") == between(
        found, "lookahead", "once", "once"
    )
    assert between(found, "lookahead", "louder", "once") == pytest.approx(
        between(found, "lookahead", "once", "once"), rel=1e-10
    )
    assert between(found, "magnitudes", "louder", "once") == pytest.approx(14 / 50)


@pytest.mark.parametrize("scaled", ["it", "ally", "foe"])
def test_ten_times_a_loss_changes_neither_scores_nor_ranking(scaled: str) -> None:
    centres = {"it": [1.0, 0.5], "ally": [3.0, 0.2], "foe": [-2.0, 1.0], "stranger": [0.3, 5.0]}
    losses, parameters = towards(centres, [0.0, 0.0])
    plain = probe(losses, parameters, 1e-3)
    louder = probe(
        lambda: {task: 10 * one if task == scaled else one for task, one in losses().items()},
        parameters,
        1e-3,
    )
    assert louder.lookahead == pytest.approx(plain.lookahead, rel=1e-9)
    assert louder.cosines[WHOLE] == pytest.approx(plain.cosines[WHOLE], rel=1e-9)
    assert np.array_equal(np.argsort(louder.lookahead, axis=0), np.argsort(plain.lookahead, axis=0))


def network(seed: int = 0) -> tuple[Losses, nn.ModuleDict]:
    """A shared tanh layer with two heads, one of which reads a layer of its own, too."""
    torch.manual_seed(seed)
    shared = nn.ModuleDict(
        {
            "embed": nn.Linear(4, 5),
            "0": nn.Linear(5, 5),
            "1": nn.Linear(5, 5),
            "mine": nn.Linear(4, 5),
        }
    )
    heads = [nn.Linear(5, 1), nn.Linear(5, 1)]
    x, y = torch.randn(9, 4), torch.randn(2, 9, 1)

    def losses() -> dict[str, Tensor]:
        inner = shared["1"](shared["0"](shared["embed"](x).tanh()).tanh()).tanh()
        return {
            "plain": ((heads[0](inner) - y[0]) ** 2).mean(),
            "own": ((heads[1](inner + shared["mine"](x)) - y[1]) ** 2).mean(),
        }

    return losses, shared


def test_only_what_at_least_two_tasks_use_is_shared_and_parts_are_told_apart() -> None:
    losses, shared = network()
    found = probe(losses, dict(shared.named_parameters()), 1e-2)
    assert set(found.cosines) == {WHOLE, "embeddings", "layer 0", "layer 1"}
    without = {name: one for name, one in shared.named_parameters() if not name.startswith("mine")}
    again = probe(losses, without, 1e-2)
    assert np.array_equal(found.lookahead, again.lookahead)
    slopes = [
        torch.autograd.grad(one, list(without.values()), retain_graph=True)
        for one in losses().values()
    ]
    flat = [torch.cat([one.flatten() for one in row]).double() for row in slopes]
    cosine = torch.dot(flat[0], flat[1]) / (flat[0].norm() * flat[1].norm())
    assert found.cosines[WHOLE][0, 1] == pytest.approx(float(cosine), rel=1e-5)


def test_tasks_that_share_nothing_that_is_trained_cannot_be_probed() -> None:
    losses, shared = network()
    with pytest.raises(EmomtlError, match="no two tasks train a parameter in common"):
        probe(losses, {"mine.weight": shared["mine"].weight}, 0.1)


def test_parameters_are_put_back_bit_for_bit_and_no_gradient_is_left_even_after_an_error() -> None:
    losses, shared = network()
    before = [one.clone() for one in shared.parameters()]
    calls = 0

    def failing() -> Mapping[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ArithmeticError
        return losses()

    probe(losses, dict(shared.named_parameters()), 0.5)
    with pytest.raises(ArithmeticError):
        probe(failing, dict(shared.named_parameters()), 0.5)
    assert all(torch.equal(one, was) for one, was in zip(shared.parameters(), before, strict=True))
    assert all(one.grad is None for one in shared.parameters())


def test_a_gradient_or_a_loss_of_zero_leaves_figures_undefined_and_not_wrong() -> None:
    losses, parameters = towards({"done": [0.0, 0.0], "other": [1.0, 0.0]}, [0.0, 0.0])
    found = probe(losses, parameters, 0.1)
    assert math.isnan(between(found, "cosine", "done", "other"))
    assert math.isnan(between(found, "lookahead", "other", "done"))
    assert math.isnan(between(found, "lookahead", "done", "other")), (
        "without a gradient there is no direction to step in"
    )


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("encoder.layer.3.attention.self.query.weight", "layer 3"),
        ("layers.11.mlp.Wo.weight", "layer 11"),
        ("embeddings.word_embeddings.weight", "embeddings"),
        ("pooler.dense.bias", "other"),
        ("x2.weight", "other"),
    ],
)
def test_parameters_are_grouped_by_the_layer_that_their_names_tell(name: str, group: str) -> None:
    assert layer_of(name) == group


def test_the_same_probe_twice_gives_the_same_numbers() -> None:
    def numbers() -> list[Any]:
        losses, shared = network(3)
        found = probe(losses, dict(shared.named_parameters()), 1e-2)
        return [
            found.lookahead.tolist(),
            found.magnitudes.tolist(),
            {k: v.tolist() for k, v in found.cosines.items()},
        ]

    assert numbers() == numbers()

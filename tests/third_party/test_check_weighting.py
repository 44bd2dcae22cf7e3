"""`check_weighting` passes what is right, and says everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from emomtl import EmomtlError, Moment, TaskFacts, Weighting
from emomtl.testing import check_weighting

Combined = tuple[Tensor, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Plain(Weighting):
    """The sum."""

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Combined:
        """The sum, and ones."""
        return torch.stack(list(losses.values())).sum(), {task: torch.ones(()) for task in losses}


def _weighting(rule: Any) -> Weighting:
    @dataclass(frozen=True)
    class Made(Plain):
        def combine(
            self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
        ) -> Combined:
            total, weights = super().combine(state, losses, moment)
            return rule(total, weights, losses)

    return Made()


def test_a_good_weighting_passes(complaint: Any) -> None:
    assert complaint(check_weighting, Plain()) == ""


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            lambda total, weights, losses: (total, {}),
            "training for some steps: weights for [] (return one for each loss",
        ),
        (
            lambda total, weights, losses: (total, {t: w / 0 for t, w in weights.items()}),
            "(keep them finite)",
        ),
        (
            lambda total, weights, losses: (total.detach().requires_grad_(), weights),
            "no gradient reaches the shared parameters",
        ),
        (
            lambda total, weights, losses: (total * 0, weights),
            "the gradient of the shared parameters is 0",
        ),
        (
            lambda total, weights, losses: (total * float("inf"), weights),
            "the gradient is not finite (guard divisions",
        ),
        (
            lambda total, weights, losses: (torch.log(total), weights),
            "a step whose losses are all 0: the gradient is not finite",
        ),
        (
            lambda total, weights, losses: (losses["mood"], weights),
            "a step without 'mood' raised KeyError",
        ),
        (lambda total, weights, losses: (total.detach(), weights), "raised RuntimeError"),
    ],
)
def test_a_broken_weighting_is_found(rule: Any, message: str, found: Any) -> None:
    assert message in found(check_weighting, _weighting(rule))


@dataclass(frozen=True)
class Counting(Plain):
    """Weights that grow with the steps, counted in a buffer or (wrongly) beside it."""

    saved: bool = True

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """A counter."""
        state = super().start(tasks, shared)
        state.register_buffer("count", torch.zeros(()), persistent=self.saved)
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Combined:
        """The sum, weighted by the steps before."""
        total, weights = super().combine(state, losses, moment)
        weight = 1 + state.get_buffer("count").clone()
        if moment.share == 1.0:
            state.get_buffer("count").add_(1)
        return total * weight, {task: one * weight for task, one in weights.items()}


def test_state_outside_of_buffers_is_found(found: Any, complaint: Any) -> None:
    assert complaint(check_weighting, Counting()) == ""
    message = found(check_weighting, Counting(saved=False))
    assert (
        "saving its state and going on from it: a resumed run gets other weights or gradients"
        in message
    )


def test_a_gradient_that_forgets_the_share_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Changing(Plain):
        def combine(
            self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
        ) -> Combined:
            total, weights = super().combine(state, losses, moment)
            return total / moment.share, weights

    assert "two micro-batches of share 0.5: the gradient is not that of one whole step" in found(
        check_weighting, Changing()
    )


def test_a_joint_weighting_also_works_without_a_task(found: Any) -> None:
    @dataclass(frozen=True)
    class Together(Plain):
        joint: ClassVar[bool] = True

        def combine(
            self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
        ) -> Combined:
            total, weights = super().combine(state, losses, moment)
            return total + sum(losses[task] for task in moment.tasks), weights

    assert "a step without 'mood' raised KeyError: 'mood'" in found(check_weighting, Together())


def test_a_method_on_gradients_passes(complaint: Any) -> None:
    @dataclass(frozen=True)
    class Signs(Plain):
        def backward(
            self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
        ) -> Mapping[str, Tensor]:
            for loss in losses.values():
                (torch.tanh(loss) * moment.share).backward(retain_graph=True)
            return {task: torch.ones(()) for task in losses}

    assert complaint(check_weighting, Signs()) == ""


def test_a_weighting_that_names_tasks_is_checked_with_theirs(found: Any, complaint: Any) -> None:
    @dataclass(frozen=True)
    class Named(Plain):
        def check(self, tasks: Mapping[str, TaskFacts]) -> None:
            if "mine" not in tasks:
                raise EmomtlError("no task 'mine'")

    tasks = {"mine": TaskFacts(10, 2, "labels"), "yours": TaskFacts(90, 1, "numbers")}
    assert complaint(check_weighting, Named(), tasks) == ""
    assert "check() with the tasks of the run: no task 'mine'" in found(check_weighting, Named())


def test_a_state_that_is_no_module_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Bare(Plain):
        def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> Any:
            return {}

    assert "start() gives dict (return an nn.Module, be it empty)" in found(check_weighting, Bare())

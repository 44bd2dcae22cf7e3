"""`check_objective` passes what is right, and says everything that is wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emomtl import EmomtlError, Head, Objective, Regression, Taxonomy, View
from emomtl.testing import check_objective


@dataclass(frozen=True)
class Spread(Objective):
    """The mean squared norm of the vectors of texts with a known label."""

    scale: float = 1.0

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """Squares, the mean over texts."""
        known = ~torch.isnan(view.own.label_sets()).any(dim=1)
        return self.scale * ((view.pooled.float() ** 2).mean(dim=1) * known).mean()


def _objective(rule: Any) -> Objective:
    @dataclass(frozen=True)
    class Made(Spread):
        def loss(self, module: nn.Module, view: View) -> Tensor:
            return rule(super().loss(module, view), view)

    return Made()


def test_a_good_objective_passes(complaint: Any) -> None:
    assert complaint(check_objective, Spread()) == ""
    assert complaint(check_objective, Spread(), Taxonomy(["a", "b"])) == ""


CALLS = itertools.count()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda loss, view: loss.detach(), "no gradient reaches the pooled vectors or the logits"),
        (lambda loss, view: loss / 0, "is inf, torch.float32 of shape ()"),
        (lambda loss, view: view.pooled.float().sum(dim=1), "a finite scalar in fp32"),
        (lambda loss, view: loss.bfloat16(), "a finite scalar in fp32"),
        (
            lambda loss, view: (loss - loss).sqrt() + loss,
            "the gradient is not finite (guard divisions",
        ),
        (lambda loss, view: loss + next(CALLS), "another loss the second time"),
        (
            lambda loss, view: view.pooled[0].float().sum(),
            "the order of the texts changes the loss",
        ),
        (
            lambda loss, view: loss + 1,
            "without any known label the loss is 1 (it must be 0, not NaN)",
        ),
        (lambda loss, view: loss + view.others["mine"].logits.sum(), "its loss raised KeyError"),
    ],
)
def test_a_broken_objective_is_found(rule: Any, message: str, found: Any) -> None:
    assert message in found(check_objective, _objective(rule))


@dataclass(frozen=True)
class Picky(Spread):
    """One that takes no labels at all."""

    def check(self, of: str, tasks: Any) -> None:
        """Always an error."""
        raise EmomtlError("not these labels")


def test_what_it_says_of_the_task_is_a_finding(found: Any) -> None:
    assert "check() with the task: not these labels" in found(check_objective, Picky())


def test_by_default_an_objective_needs_labels() -> None:
    tasks: dict[str, tuple[Head, Taxonomy | None]] = {"arousal": (Regression(), None)}
    with pytest.raises(EmomtlError, match="'arousal' answers with numbers and has no labels"):
        Spread().check("arousal", tasks)

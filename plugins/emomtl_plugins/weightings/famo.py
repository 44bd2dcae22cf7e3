"""Weights that let all losses fall at the same rate, learned from what each update did to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.adam import adam_step, add_vector
from emomtl_plugins.weightings.step_losses import FLOOR, step_losses
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Famo(Weighting):
    """L = c sum_t z_t log L_t with z = softmax(xi) and c = 1 / sum_t (z_t / L_t): FAMO (Liu et al., 2023; arXiv:2306.03792).

    So w_t = c z_t / L_t, and the weights sum to 1. After each update the losses are computed again on the same texts with the
    same dropout (one more forward pass, no backward), and xi takes an Adam step at the rate `lr` with the weight decay `decay`
    along J^T (log L_before − log L_after), J the Jacobian of the softmax: a task whose loss fell less gets more
    weight. 0.025 and 0.001 are the paper's (algorithm 2); the authors' code has a decay of 0.00001.

    Departure: `total = "tasks"`, the default, multiplies by the number of tasks T, so that the weights sum to T and the
    learning rate keeps its meaning; `"one"` is the paper's. The losses' lower bounds are taken to be 0.
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    looks_again: ClassVar[bool] = True
    lr: Annotated[float, Gt(0)] = 0.025
    decay: Annotated[float, Ge(0)] = 0.001
    total: Literal["one", "tasks"] = "tasks"

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffer `xi` (T,), and Adam's own."""
        import torch

        state = super().start(tasks, shared)
        add_vector(state, "xi", torch.zeros(len(tasks)))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses by their weights in the gradient of the formula, and the weights."""
        import torch

        known = step_losses(losses, moment)
        z = dict(zip(moment.tasks, torch.softmax(state.get_buffer("xi"), dim=0).unbind(), strict=True))
        raw = {task: z[task] / loss for task, loss in known.items()}
        scale = (len(known) if self.total == "tasks" else 1) / torch.stack(list(raw.values())).sum()
        return weighted_sum(losses, {task: scale * weight for task, weight in raw.items()})

    def look(self, state: nn.Module, before: Mapping[str, Tensor], after: Mapping[str, Tensor], moment: Moment) -> None:
        """Let xi learn from the fall of each loss; a task without a loss in the step has no part in z, and no gradient."""
        import torch

        with torch.no_grad():
            xi = state.get_buffer("xi")
            absent = xi.new_full((), -math.inf)
            known = [xi[place] if task in before else absent for place, task in enumerate(moment.tasks)]
            z = torch.softmax(torch.stack(known), dim=0)
            falls = [_log(before[task]) - _log(after[task]) if task in before else xi.new_zeros(()) for task in moment.tasks]
            fall = torch.stack(falls)
            adam_step(state, "xi", z * (fall - (z * fall).sum()), self.lr, self.decay)


def _log(loss: Tensor) -> Tensor:
    """log L, finite where L is; NaN stays NaN."""
    return (loss.detach().float() + FLOOR).log()


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `famo`."""
    return {"famo": Famo}

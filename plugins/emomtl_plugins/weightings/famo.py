"""`famo`: weights that let all losses fall at the same rate, learned from each update's effect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.adam import adam_step, add_vector
from emomtl_plugins.weightings.weighted_sum import FLOOR, by_task, step_losses, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Famo(Weighting):
    """L = c sum_t z_t log L_t with z = softmax(xi) and c = 1 / sum_t (z_t / L_t).

    FAMO (Liu et al., 2023; arXiv:2306.03792), algorithm 2. The weights are w_t = c z_t / L_t and
    sum to 1. After each update the losses are computed again on the same texts with the same
    dropout, which costs one more forward pass. Then xi takes a step of Adam at the rate `lr` with
    the weight decay `decay`, so that a task whose loss fell less gets more weight. 0.025 and 0.001
    are the paper's values; the authors' code has a decay of 0.00001.

    Departure: `total = "tasks"`, the default, multiplies the weights by the number of tasks T, so
    that they sum to T and the learning rate keeps its meaning; `"one"` is the paper's. The losses'
    lower bounds are taken to be 0.
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    looks_again: ClassVar[bool] = True
    lr: Annotated[float, Gt(0)] = 0.025
    decay: Annotated[float, Ge(0)] = 0.001
    total: Literal["one", "tasks"] = "tasks"

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffer `xi` (T,), and those of its Adam."""
        import torch

        state = super().start(tasks, shared)
        add_vector(state, "xi", torch.zeros(len(tasks)))
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        known = step_losses(losses, moment)
        z = by_task(torch.softmax(state.get_buffer("xi"), dim=0), moment)
        # grad L = c sum_t (z_t / L_t) grad L_t, so w_t = c z_t / L_t with c = 1 / sum_t (z_t / L_t)
        ratios = {task: z[task] / loss for task, loss in known.items()}
        weight_sum = len(known) if self.total == "tasks" else 1
        scale = weight_sum / torch.stack(list(ratios.values())).sum()
        return weighted_sum(losses, {task: scale * ratio for task, ratio in ratios.items()})

    def look(
        self,
        state: nn.Module,
        before: Mapping[str, Tensor],
        after: Mapping[str, Tensor],
        moment: Moment,
    ) -> None:
        """Update xi from the fall of each loss. A task without a loss in the step has z = 0."""
        import torch

        with torch.no_grad():
            xi = state.get_buffer("xi")
            logits = [xi.new_full((), -math.inf)] * len(xi)
            falls = [xi.new_zeros(())] * len(xi)
            for position, task in enumerate(moment.tasks):
                if task in before:
                    logits[position] = xi[position]
                    falls[position] = _log(before[task]) - _log(after[task])
            # xi takes a step along J^T d, with J = diag(z) - z z^T the Jacobian of the softmax and
            # d_t = log L_t(before) - log L_t(after): (J^T d)_t = z_t (d_t - sum_u z_u d_u)
            z, fall = torch.softmax(torch.stack(logits), dim=0), torch.stack(falls)
            adam_step(state, "xi", z * (fall - (z * fall).sum()), self.lr, self.decay)


def _log(loss: Tensor) -> Tensor:
    """log L, finite for L = 0; a NaN stays NaN, so that `adam_step` passes over it."""
    return (loss.detach().float() + FLOOR).log()


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"famo": Famo}

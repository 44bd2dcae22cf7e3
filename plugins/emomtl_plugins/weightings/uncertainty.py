"""Weights learned with the model: each task's loss is divided by a noise that is learned for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.task_scalars import add_scalars, scalar

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Uncertainty(Weighting):
    """L = sum_t w_t L_t + s_t/2 with s_t = log sigma_t^2 learned (Kendall, Gal & Cipolla, 2018; arXiv:1705.07115).

    w_t = e^(−s_t) for classification and e^(−s_t)/2 for regression. At a fixed loss the best s_t is log 2 L_t (classification)
    or log L_t (regression); the sum may go below 0. `init` is where every s_t starts. Left out, each starts at its optimum
    for the loss of the best constant answer on the task's training rows: a few hundred steps are too few to come from one
    number for all (the paper names none; LibMTL has −0.5). Only tasks with a loss in the step add a term.
    """

    init: Annotated[float, Ge(-20), Le(20)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """Parameters `s`, a scalar a task, and the buffer `factors` (T,), which follows from the tasks and is not saved."""
        import torch

        state = super().start(tasks, shared)
        add_scalars(state, "s", {task: self._start(facts) for task, facts in tasks.items()})
        factors = torch.tensor([0.5 if facts.kind == "regression" else 1.0 for facts in tasks.values()])
        state.register_buffer("factors", factors, persistent=False)
        return state

    def _start(self, facts: TaskFacts) -> float:
        """s_t before the first step: the minimum of w L + s/2 at the base rate's loss L, unless `init` is given."""
        if self.init is not None:
            return self.init
        return math.log(facts.base_loss if facts.kind == "regression" else 2 * facts.base_loss)

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of weighted losses and s_t/2, by the micro-batch's part of the task's targets, and the weights w_t."""
        import torch

        factors = dict(zip(moment.tasks, state.get_buffer("factors").unbind(), strict=True))
        terms, weights = [], {}
        for task, loss in losses.items():
            s = scalar(state, "s", task)
            weight = factors[task] * torch.exp(-s)
            terms.append(weight * loss.float() + s / 2 * (moment.part(task) / moment.share))
            weights[task] = weight.detach()
        return torch.stack(terms).sum(), weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `uncertainty`."""
    return {"uncertainty": Uncertainty}

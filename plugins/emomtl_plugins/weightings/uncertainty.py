"""Weights learned with the model: each task's loss is divided by a noise that is learned for it."""

from __future__ import annotations

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
    or log L_t (regression); the sum may go below 0. `init` is where every s_t starts; −0.5 is a later implementation's
    (LibMTL), as the paper names none. Only tasks with a loss in the step add a term: the s_t of the others gets no gradient.
    """

    init: Annotated[float, Ge(-20), Le(20)] = -0.5

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """Parameters `s`, a scalar a task, and the buffer `factors` (T,), which follows from the tasks and is not saved."""
        import torch

        state = super().start(tasks, shared)
        add_scalars(state, "s", tasks, self.init)
        factors = torch.tensor([0.5 if facts.kind == "regression" else 1.0 for facts in tasks.values()])
        state.register_buffer("factors", factors, persistent=False)
        return state

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

"""Scales learned with the model, which bring all losses to the same size."""

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
class ImtlLoss(Weighting):
    """L = sum_t e^(s_t) L_t − s_t with s_t learned: IMTL-L (Liu et al., 2021, "Towards Impartial Multi-task Learning", ICLR).

    w_t = e^(s_t). At a fixed loss the best s_t is −log L_t, which brings every weighted loss to 1 (`uncertainty` brings those
    of classification to 1/2). `init` is where every s_t starts; 0, the paper's, is the plain sum. Left out, each starts at its
    optimum for the loss of the best constant answer on the task's training rows. The s_t learn by the run's optimiser at
    `train.weighting_lr`. Only tasks with a loss in the step add a term.
    """

    init: Annotated[float, Ge(-20), Le(20)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """Parameters `s`, a scalar a task."""
        state = super().start(tasks, shared)
        optimum = {task: -math.log(facts.base_loss) for task, facts in tasks.items()}
        add_scalars(state, "s", optimum if self.init is None else dict.fromkeys(tasks, self.init))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of weighted losses and −s_t, by the micro-batch's part of the task's targets, and the weights."""
        import torch

        terms, weights = [], {}
        for task, loss in losses.items():
            s = scalar(state, "s", task)
            weight = torch.exp(s)
            terms.append(weight * loss.float() - s * (moment.part(task) / moment.share))
            weights[task] = weight.detach()
        return torch.stack(terms).sum(), weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `imtl-l`."""
    return {"imtl-l": ImtlLoss}

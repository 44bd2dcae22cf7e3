"""`imtl-l`: learned scales that bring all losses to the same size."""

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
    """L = sum_t e^(s_t) L_t − s_t with learned s_t, so that w_t = e^(s_t).

    IMTL-L (Liu et al., 2021, "Towards Impartial Multi-task Learning", ICLR). At a fixed loss the
    best s_t is −log L_t, which brings every weighted loss to 1 (`uncertainty` brings those of
    classification to 1/2). The s_t learn with the run's optimiser at `train.weighting_lr`. `init`
    is the first value of every s_t; the paper's is 0, the plain sum. Left out, each starts at its
    optimum for the loss of the best constant answer on the task's training rows. Only tasks with a
    loss in the step add a term.
    """

    init: Annotated[float, Ge(-20), Le(20)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The parameters `s`, a scalar for each task."""
        state = super().start(tasks, shared)
        first_values = {}
        for task, facts in tasks.items():
            # The minimum of e^s L - s over s is at s = -log L.
            first_values[task] = -math.log(facts.base_loss) if self.init is None else self.init
        add_scalars(state, "s", first_values)
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        terms, weights = [], {}
        for task, loss in losses.items():
            s = scalar(state, "s", task)
            weight = torch.exp(s)
            # `backward` multiplies by moment.share. The term -s counts by the task's own part, so
            # that over the micro-batches of a step it is added exactly once.
            terms.append(weight * loss.float() - s * (moment.part(task) / moment.share))
            weights[task] = weight.detach()
        return torch.stack(terms).sum(), weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"imtl-l": ImtlLoss}

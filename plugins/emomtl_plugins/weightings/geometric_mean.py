"""The geometric mean of the losses, in which no loss counts more for being larger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import Moment, Weighting, hookimpl
from emomtl_plugins.weightings.step_losses import step_losses
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GeometricMean(Weighting):
    """L = T (L_1 ... L_T)^(1/T), so that w_t = (L_1 ... L_T)^(1/T) / L_t (GLS; Chennupati et al., 2019; arXiv:1904.08492).

    A loss that is k times as large everywhere changes the length of every gradient alike, and none's part in it. `total = "one"`
    is the paper's: without the factor T, so that equal losses have the weight 1/T and not 1. The gradient is that of the
    formula; the weights are taken as constants of the step.
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    total: Literal["one", "tasks"] = "tasks"

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, which is their scaled geometric mean, and the weights."""
        import torch

        known = step_losses(losses, moment)
        mean = torch.stack(list(known.values())).log().mean().exp()
        scale = 1.0 if self.total == "tasks" else 1.0 / len(known)
        return weighted_sum(losses, {task: scale * mean / loss for task, loss in known.items()})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `geometric-mean`."""
    return {"geometric-mean": GeometricMean}

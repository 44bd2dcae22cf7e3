"""`geometric-mean`: the geometric mean of the losses, in which no scale of a loss counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import Moment, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import step_losses, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GeometricMean(Weighting):
    """L = T (L_1 ... L_T)^(1/T), so that w_t = (L_1 ... L_T)^(1/T) / L_t.

    GLS (Chennupati et al., 2019; arXiv:1904.08492). Multiplying one loss by a constant changes the
    length of the total gradient but not its direction. The gradient is that of the formula; the
    weights are constants of the step.

    Departure: `total = "one"` is the paper's loss. `"tasks"`, the default, multiplies it by T, so
    that equal losses have the weight 1 and not 1/T.
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    total: Literal["one", "tasks"] = "tasks"

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        known = step_losses(losses, moment)
        # d/dL_t of the geometric mean M is M / (T L_t); M = exp(mean_t log L_t)
        mean = torch.stack(list(known.values())).log().mean().exp()
        scale = 1.0 if self.total == "tasks" else 1.0 / len(known)
        return weighted_sum(losses, {task: scale * mean / loss for task, loss in known.items()})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"geometric-mean": GeometricMean}

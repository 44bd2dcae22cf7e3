"""The sum of the losses' logarithms, in which every task counts by how much its loss falls in proportion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from emomtl import Moment, Weighting, hookimpl
from emomtl_plugins.weightings.step_losses import step_losses
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ScaleInvariant(Weighting):
    """L = sum_t log L_t, so that w_t = 1 / L_t (a baseline of Navon et al., 2022, "Nash-MTL"; arXiv:2202.01017).

    A loss that is k times as large everywhere gives the same gradient. The gradient is that of the formula; the weights
    are taken as constants of the step, and losses as at least 1e-8.
    """

    looks_ahead: ClassVar[bool] = True

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses over their own values, which has the gradient of the sum of logarithms, and the weights."""
        return weighted_sum(losses, {task: 1 / loss for task, loss in step_losses(losses, moment).items()})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `scale-invariant`."""
    return {"scale-invariant": ScaleInvariant}

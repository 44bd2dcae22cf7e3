"""`scale-invariant`: the sum of the losses' logarithms, in which relative changes count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from emomtl import Moment, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import step_losses, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ScaleInvariant(Weighting):
    """L = sum_t log L_t, so that w_t = 1 / L_t.

    A baseline of Navon et al. (2022, "Nash-MTL"; arXiv:2202.01017). Multiplying a loss by a
    constant changes no gradient. The gradient is that of the formula; the weights are constants of
    the step, and losses count as at least 1e-8.
    """

    looks_ahead: ClassVar[bool] = True

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # d/dL_t log L_t = 1 / L_t
        known = step_losses(losses, moment)
        return weighted_sum(losses, {task: 1 / loss for task, loss in known.items()})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"scale-invariant": ScaleInvariant}

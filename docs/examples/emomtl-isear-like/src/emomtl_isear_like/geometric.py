"""The weighting `geometric`: the losses are multiplied, so that their scales do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from emomtl import Moment, Weighting, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Geometric(Weighting):
    """L = sum_t log(L_t + epsilon), the logarithm of the losses' product (after Chennupati et al., 2019; arXiv:1904.08492).

    A loss that is twice as large everywhere gives the same gradient: task t has the weight 1 / (L_t + epsilon).
    """

    epsilon: Annotated[float, Gt(0)] = 1e-3

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of logarithms, and the weight that each loss has in its gradient."""
        import torch

        shifted = {task: loss.float() + self.epsilon for task, loss in losses.items()}
        total = torch.stack([torch.log(loss) for loss in shifted.values()]).sum()
        return total, {task: 1 / loss.detach() for task, loss in shifted.items()}


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `geometric`."""
    return {"geometric": Geometric}

"""The sum of losses times weights, which most weightings end in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """sum_t w_t L_t over the tasks in `losses`, and the weights of those tasks as tensors of no gradient.

    All is scalar, float32 and on the losses' device; numbers are filled in there, so nothing waits for the device.
    """
    import torch

    used, terms = {}, []
    for task, loss in losses.items():
        weight = weights[task]
        if not isinstance(weight, torch.Tensor):
            weight = torch.full((), weight, dtype=torch.float32, device=loss.device)
        used[task] = weight.detach()
        terms.append(used[task] * loss.float())
    return torch.stack(terms).sum(), used

"""The losses that a weighting starts from, and the weighted sum in which most end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from emomtl import Moment

FLOOR = 1e-8
"""The smallest loss that a weighting divides by, or takes the logarithm of."""


def step_losses(losses: Mapping[str, Tensor], moment: Moment) -> dict[str, Tensor]:
    """The losses of the whole step by task: scalars, float32, detached, at least `FLOOR`.

    In a step of several micro-batches they are `moment.ahead`, otherwise `losses` themselves.
    """
    whole_step = moment.ahead or losses
    return {task: loss.detach().float().clamp(min=FLOOR) for task, loss in whole_step.items()}


def by_task(values: Tensor, moment: Moment) -> dict[str, Tensor]:
    """A tensor (T,) as one scalar for each task of the run."""
    return dict(zip(moment.tasks, values.unbind(), strict=True))


def weighted_sum(
    losses: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """sum_t w_t L_t over the tasks in `losses`, and the weights w_t of these tasks, detached.

    All results are scalars, float32, on the device of the losses.
    """
    import torch

    used_weights, terms = {}, []
    for task, loss in losses.items():
        weight = weights[task]
        if not isinstance(weight, torch.Tensor):
            # not `tensor`, which copies the number from the host and waits for the device
            weight = torch.full((), weight, dtype=torch.float32, device=loss.device)
        used_weights[task] = weight.detach()
        terms.append(used_weights[task] * loss.float())
    return torch.stack(terms).sum(), used_weights

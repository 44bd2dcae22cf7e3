"""The gradient of each task on its own: clipped with `train.clip_by = "task"`, and measured for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from emomtl.contracts.sampler import Moment
    from emomtl.contracts.weighting import Weighting


class TaskGradients:
    """The gradients of a step kept apart by task until each is clipped; costs a backward pass a task, and T copies.

    Only for weightings that sum losses: those that mix gradients keep their own.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], limit: float) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.limit = limit
        self._kept: dict[str, list[Tensor | None]] = {}

    def backward(
        self, weighting: Weighting, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> Mapping[str, Tensor]:
        """The gradients of one micro-batch, added to those kept; the weights of its losses.

        The total is a function of the losses: d total / d theta = sum_t c_t d L_t / d theta with
        c_t = d total / d L_t. So the first pass goes from the total to the losses (and to the weighting's own
        parameters), and one more for each task goes on from its loss.
        """
        leaves = {task: loss.detach().requires_grad_() for task, loss in losses.items()}
        total, weights = weighting.combine(state, leaves, moment)
        (total * moment.share).backward()  # type: ignore[no-untyped-call]
        last = list(losses)[-1]
        for task, loss in losses.items():
            found = torch.autograd.grad(loss, self.parameters, leaves[task].grad, retain_graph=task != last, allow_unused=True)
            kept = self._kept.setdefault(task, [None] * len(found))
            self._kept[task] = [_sum(one, other) for one, other in zip(kept, found, strict=True)]
        return weights

    def forget(self) -> None:
        """Drop what was kept, where a step begins anew."""
        self._kept = {}

    def finish(self) -> None:
        """Clip each task's gradient to the limit, and put their sum into `.grad`."""
        for gradients in self._kept.values():
            norm = _norm([one for one in gradients if one is not None])
            factor = 1 / ((norm + 1e-6) / self.limit).clamp(min=1.0)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = _sum(parameter.grad, gradient * factor)
        self._kept = {}


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def encoder_norms(losses: Mapping[str, Tensor], shared: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """The norm of each loss's gradient on the shared parameters, one more backward pass a task; `.grad` stays as it is."""
    norms: dict[str, Tensor] = {}
    if not shared:  # a frozen encoder
        return norms
    for task, loss in losses.items():
        found = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
        norms[task] = _norm([one for one in found if one is not None])
    return norms


def _norm(gradients: Sequence[Any]) -> Tensor:
    """The norm of all of them as one vector; that of a word embedding may be sparse."""
    values = [one.coalesce().values() if one.is_sparse else one for one in gradients]
    return torch.nn.utils.get_total_norm(values)

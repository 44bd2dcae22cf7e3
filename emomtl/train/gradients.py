"""The gradient of each task on its own: clipped with `train.clip_by = "task"`, or only measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from emomtl.contracts.sampler import Moment
    from emomtl.contracts.weighting import Weighting


class TaskGradients:
    """Keeps the gradients of a step apart by task, and clips each to the norm `limit`.

    Costs a backward pass and a copy of the gradients for each task. Only for weightings that sum
    losses: those that mix gradients keep their own.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], limit: float) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.limit = limit
        self._gradients: dict[str, list[Tensor | None]] = {}

    def backward(
        self, weighting: Weighting, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> Mapping[str, Tensor]:
        """Add the gradients of one micro-batch; returns the weights of its losses.

        The total is a function of the losses: d total / d theta = sum_t c_t d L_t / d theta with
        c_t = d total / d L_t. So the first pass goes from the total to the losses (and to the
        weighting's own parameters), and one more for each task goes on from its loss.
        """
        leaves = {task: loss.detach().requires_grad_() for task, loss in losses.items()}
        total, weights = weighting.combine(state, leaves, moment)
        (total * moment.share).backward()  # type: ignore[no-untyped-call]
        last_task = list(losses)[-1]
        for task, loss in losses.items():
            coefficient = leaves[task].grad  # c_t
            new = torch.autograd.grad(
                loss,
                self.parameters,
                coefficient,
                retain_graph=task != last_task,  # tasks share the encoder's graph
                allow_unused=True,
            )
            before = self._gradients.setdefault(task, [None] * len(new))
            self._gradients[task] = [_sum(a, b) for a, b in zip(before, new, strict=True)]
        return weights

    def forget(self) -> None:
        """Drop all gradients, where a step begins anew."""
        self._gradients = {}

    def finish(self) -> None:
        """Clip each task's gradient to the limit, and put their sum into `.grad`."""
        for gradients in self._gradients.values():
            norm = gradient_norm(gradients)
            # As torch's clip_grad_norm_: g_t * min(1, limit / (norm + 1e-6)).
            factor = 1 / ((norm + 1e-6) / self.limit).clamp(min=1.0)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = _sum(parameter.grad, gradient * factor)
        self._gradients = {}


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def encoder_norms(
    losses: Mapping[str, Tensor], shared: Sequence[nn.Parameter]
) -> dict[str, Tensor]:
    """The norm of each loss's gradient on the shared parameters; `.grad` stays as it is.

    Costs one more backward pass a task. Empty where the encoder is frozen.
    """
    norms: dict[str, Tensor] = {}
    if not shared:
        return norms
    for task, loss in losses.items():
        gradients = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
        norms[task] = gradient_norm(gradients)
    return norms


def gradient_norm(gradients: Iterable[Tensor | None]) -> Tensor:
    """The norm of all gradients as one vector."""
    values = []
    for gradient in gradients:
        if gradient is not None:
            # The gradient of a word embedding may be sparse, which get_total_norm does not take.
            values.append(gradient.coalesce().values() if gradient.is_sparse else gradient)
    return torch.nn.utils.get_total_norm(values)

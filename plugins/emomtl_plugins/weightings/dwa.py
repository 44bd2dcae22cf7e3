"""`dwa`: dynamic weight average, which favours the tasks whose loss falls slowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import by_task, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DynamicWeightAverage(Weighting):
    """L = sum_k lambda_k L_k, lambda = K softmax(r / temperature), r_k = L_k(t−1) / L_k(t−2).

    Liu, Johns & Davison (2019), arXiv:1803.10704, equation 7. L_k(t) is the mean loss of task k
    (of K) in window t: an epoch, as in the paper, or `window` steps. In the first two windows every
    lambda is 1, so a run of one or two epochs needs a `window`. The larger `temperature`, the more
    even the weights.

    Departures: in the paper every step has every loss; here a task that lacks one in either window
    has r = 1. Losses that are not finite are left out of the means.
    """

    temperature: Annotated[float, Gt(0)] = 2.0
    window: Annotated[int, Gt(0)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `sums`, `counts`, `last`, `before_last` (K,) and `current`.

        `sums` and `counts` belong to the current window, whose number is `current` (-1: none yet).
        `last` and `before_last` are the mean losses of the two windows before, 0 where unknown.
        """
        import torch

        state = super().start(tasks, shared)
        for name in ("sums", "counts", "last", "before_last"):
            state.register_buffer(name, torch.zeros(len(tasks)))
        state.register_buffer("current", torch.tensor(-1))
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        window = moment.epoch if self.window is None else moment.step // self.window
        with torch.no_grad():
            _enter_window(state, window)
            # Equation 7: lambda_k = K exp(r_k / T) / sum_i exp(r_i / T), r_k = L_k(t-1) / L_k(t-2)
            last, before_last = state.get_buffer("last"), state.get_buffer("before_last")
            known = (last > 0) & (before_last > 0)
            ratios = torch.where(known, last / before_last, torch.ones_like(last))
            weights = len(ratios) * torch.softmax(ratios / self.temperature, dim=0)
            _add_losses(state, losses, moment)  # after the weights, which know past windows only
        return weighted_sum(losses, by_task(weights, moment))


def _enter_window(state: nn.Module, window: int) -> None:
    """Where a new window begins, move its mean losses to `last`, and start the sums from 0.

    All is masked: an `if` on `current` would make the host wait for the device.
    """
    import torch

    sums, counts, last, before_last, current = (
        state.get_buffer(name) for name in ("sums", "counts", "last", "before_last", "current")
    )
    is_new = current != window
    means = torch.where(counts > 0, sums / counts, torch.zeros_like(sums))
    before_last.copy_(torch.where(is_new, last, before_last))
    last.copy_(torch.where(is_new, means, last))
    sums.masked_fill_(is_new, 0.0)
    counts.masked_fill_(is_new, 0.0)
    current.fill_(window)


def _add_losses(state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> None:
    """Add the finite losses of a micro-batch to the sums, by its share of the step.

    The counts go by the task's own part of the step, so a step counts 1 for a task however it is
    cut into micro-batches.
    """
    import torch

    sums, counts = state.get_buffer("sums"), state.get_buffer("counts")
    for position, task in enumerate(moment.tasks):
        if task in losses:
            loss = losses[task].detach().float()
            finite = torch.isfinite(loss)
            sums[position] += torch.where(finite, loss, torch.zeros_like(loss)) * moment.share
            counts[position] += finite * moment.part(task)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"dwa": DynamicWeightAverage}

"""Weights that favour the tasks whose loss falls slowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DynamicWeightAverage(Weighting):
    """L = sum_k lambda_k L_k with lambda = K softmax(r / temperature) and r_k = L_k(t−1) / L_k(t−2) for K tasks.

    Liu, Johns & Davison (2019), arXiv:1803.10704. L_k(t) is task k's mean loss in window t: an epoch, as in the paper, or
    `window` steps. In the first two windows every lambda is 1, so a run of one or two epochs needs a `window` for the method
    to do anything. The paper has every loss in every step; here a task without one in either window has r = 1.
    `temperature` evens the weights out. Losses that are not finite are left out of the means.
    """

    temperature: Annotated[float, Gt(0)] = 2.0
    window: Annotated[int, Gt(0)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `sums`, `counts`, `last`, `before_last` (K,) and `current`.

        Sums and counts are of the window under way, whose number is `current` (-1: none yet); `last` and `before_last` are
        the means of the two windows before it, 0 where unknown.
        """
        import torch

        state = super().start(tasks, shared)
        for name in ("sums", "counts", "last", "before_last"):
            state.register_buffer(name, torch.zeros(len(tasks)))
        state.register_buffer("current", torch.tensor(-1))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights; the losses are then counted into the window."""
        import torch

        with torch.no_grad():
            _turn(state, moment.epoch if self.window is None else moment.step // self.window)
            last, before = state.get_buffer("last"), state.get_buffer("before_last")
            ratios = torch.where((last > 0) & (before > 0), last / before, torch.ones_like(last))
            weights = len(ratios) * torch.softmax(ratios / self.temperature, dim=0)
            _count(state, losses, moment)
        return weighted_sum(losses, dict(zip(moment.tasks, weights.unbind(), strict=True)))


def _turn(state: nn.Module, window: int) -> None:
    """Where a new window begins, the old one's means become `last` and the sums start from 0; does not wait for the device."""
    import torch

    sums, counts, last, before, current = (
        state.get_buffer(name) for name in ("sums", "counts", "last", "before_last", "current")
    )
    new = current != window
    before.copy_(torch.where(new, last, before))
    last.copy_(torch.where(new, torch.where(counts > 0, sums / counts, torch.zeros_like(sums)), last))
    sums.masked_fill_(new, 0.0)
    counts.masked_fill_(new, 0.0)
    current.fill_(window)


def _count(state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> None:
    """Add the finite losses of a micro-batch to the sums, by its share of the step.

    The counts go by the task's own part of the step, so that a step counts 1 for it however it is cut.
    """
    import torch

    sums, counts = state.get_buffer("sums"), state.get_buffer("counts")
    for place, task in enumerate(moment.tasks):
        if task in losses:
            loss = losses[task].detach().float()
            finite = torch.isfinite(loss)
            sums[place] += torch.where(finite, loss, torch.zeros_like(loss)) * moment.share
            counts[place] += finite * moment.part(task)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `dwa`."""
    return {"dwa": DynamicWeightAverage}

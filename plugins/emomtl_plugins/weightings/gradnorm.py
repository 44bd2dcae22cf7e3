"""Weights that bring the gradients of all tasks to sizes at which the tasks learn at the same rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.adam import adam_step, add_vector
from emomtl_plugins.weightings.step_losses import FLOOR
from emomtl_plugins.weightings.task_gradients import (
    add_gradients_of,
    add_rows,
    forget_rows,
    in_scope,
    note_tasks,
    tasks_of_step,
)
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn

LEAST = 0.01
"""A weight never falls below this: Adam could make it negative."""


@dataclass(frozen=True)
class GradNorm(Weighting):
    """L = sum_t w_t L_t, where w learns to make sum_t |G_t − mean(G) r_t^alpha| small.

    GradNorm (Chen et al., 2018; arXiv:1711.02257).
    G_t = |w_t grad L_t| on the shared parameters W, and r_t = (L_t / L_t(0)) / mean of these ratios, which is above 1 for a
    task that learns slowly: its target is larger, so its weight rises (the pip package gradnorm-pytorch has the power
    inverted). `alpha` is how strongly the slow are pulled along. mean(G) r_t^alpha is a constant; w takes an Adam step at the
    rate `lr` after each step, and is then scaled to sum to T. W is the encoder's last layer, as in the paper, or with
    `scope = "all"` every shared parameter, at the cost of one more backward pass a task.

    Departures: L_t(0) is the loss of the first step; weights stay at or above 0.01 before they are scaled; the paper's w has
    the model's optimiser, ours one of its own, so that the size of its gradient has no part in clipping.
    A task without a loss in the step has no part in the means, and its w no gradient.
    """

    joint: ClassVar[bool] = True
    alpha: Annotated[float, Ge(0)] = 1.5
    lr: Annotated[float, Gt(0)] = 0.025
    scope: Literal["all", "last-layer"] = "last-layer"

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `w` and `first` (T,), Adam's own, and, not saved, the rows of gradients and `losses` (T,) of a step."""
        import torch

        state = super().start(tasks, shared)
        add_vector(state, "w", torch.ones(len(tasks)))
        state.register_buffer("first", torch.zeros(len(tasks)))
        state.register_buffer("losses", torch.zeros(len(tasks)), persistent=False)
        add_rows(state, tasks, in_scope(shared, self.scope))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights."""
        return weighted_sum(losses, dict(zip(moment.tasks, state.get_buffer("w").clone().unbind(), strict=True)))

    def backward(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Mapping[str, Tensor]:
        """The gradients of each task on W are kept, then those of the weighted sum made."""
        add_gradients_of(state, losses, moment)
        note_tasks(state, losses)
        total = state.get_buffer("losses")
        for task, loss in losses.items():
            total[moment.tasks.index(task)] += loss.detach().float() * moment.share
        return super().backward(state, losses, moment)

    def forget(self, state: nn.Module) -> None:
        """Drop the rows and the losses of the step."""
        state.get_buffer("losses").zero_()
        forget_rows(state)

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        """The rows."""
        return (state.get_buffer("rows"),)

    def finish(self, state: nn.Module, moment: Moment) -> None:
        """Let w learn from the step; one that is not finite changes nothing."""
        import torch

        with torch.no_grad():
            w, first, losses, rows = (state.get_buffer(name) for name in ("w", "first", "losses", "rows"))
            norms = rows.norm(dim=1)
            fine = torch.isfinite(losses).all() & torch.isfinite(norms).all()
            first.copy_(torch.where(fine & (first == 0), losses, first))
            here = list(tasks_of_step(state, moment).values())
            gradient = _slope_of(here, w, norms, losses / first.clamp(min=FLOOR), self.alpha)
            adam_step(state, "w", torch.where(fine, gradient, torch.nan), self.lr)
            least = w.clamp(min=LEAST)
            w.copy_(torch.where(fine, least * (len(w) / least.sum()), w))
            self.forget(state)


def _slope_of(here: Sequence[int], w: Tensor, norms: Tensor, ratios: Tensor, alpha: float) -> Tensor:
    """`slope` among the tasks at these places alone, and 0 for the others."""
    import torch

    if len(here) == len(w):
        return slope(w, norms, ratios, alpha)
    # stacked one by one: an index made on the host would make it wait for the device
    weights, sizes, rates = (torch.stack([values[place] for place in here]) for values in (w, norms, ratios))
    part = slope(weights, sizes, rates, alpha)
    gradient = torch.zeros_like(w)
    for place, value in zip(here, part.unbind(), strict=True):
        gradient[place] = value
    return gradient


def slope(w: Tensor, norms: Tensor, ratios: Tensor, alpha: float) -> Tensor:
    """The gradient by w (T,) of sum_t |w_t n_t − mean(w n) r_t^alpha|, the target a constant; r = ratios / their mean."""
    sizes = w * norms
    rates = ratios / ratios.mean().clamp(min=FLOOR)
    return (sizes - sizes.mean() * rates**alpha).sign() * norms


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `gradnorm`."""
    return {"gradnorm": GradNorm}

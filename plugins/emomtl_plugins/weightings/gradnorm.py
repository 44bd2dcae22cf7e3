"""`gradnorm`: weights that bring the tasks' gradients to sizes at which all learn at one rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.adam import adam_step, add_vector
from emomtl_plugins.weightings.task_gradients import TaskGradients
from emomtl_plugins.weightings.weighted_sum import FLOOR, by_task, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn

LEAST_WEIGHT = 0.01
"""The lower bound of a weight: Adam could make it negative."""


@dataclass(frozen=True)
class GradNorm(Weighting):
    """L = sum_t w_t L_t, where w learns to make sum_t |G_t − mean(G) r_t^alpha| small.

    GradNorm (Chen et al., 2018; arXiv:1711.02257), equations 1 and 2. G_t = |w_t grad L_t| on the
    shared parameters W, and r_t is L_t / L_t(0) over the mean of these ratios. A task that learns
    slowly has r_t > 1, so a larger target, so its weight rises (the pip package gradnorm-pytorch
    has the power inverted). The larger `alpha`, the more the slow tasks are favoured. The target
    mean(G) r_t^alpha is a constant. After each step w takes a step of Adam at the rate `lr`, and is
    then scaled to sum to T. W is the encoder's last layer, as in the paper, or with `scope = "all"`
    all shared parameters, which costs one more backward pass for each task.

    Departures: L_t(0) is the loss of the first step. Weights are at least 0.01 before they are
    scaled. The paper trains w with the model's optimiser; here w has one of its own, so that its
    gradient has no part in clipping. A task without a loss in the step has no part in the means,
    and its w gets no gradient.
    """

    joint: ClassVar[bool] = True
    alpha: Annotated[float, Ge(0)] = 1.5
    lr: Annotated[float, Gt(0)] = 0.025
    scope: Literal["all", "last-layer"] = "last-layer"

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `w` (with those of Adam), `first` and, not saved, `losses` (T,)."""
        import torch

        state = super().start(tasks, shared)
        add_vector(state, "w", torch.ones(len(tasks)))
        state.register_buffer("first", torch.zeros(len(tasks)))
        state.register_buffer("losses", torch.zeros(len(tasks)), persistent=False)
        TaskGradients.attach(state, tasks, shared, self.scope)
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # A copy, since `finish` changes w in place and the reported weights are those of this step.
        return weighted_sum(losses, by_task(state.get_buffer("w").clone(), moment))

    def backward(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> Mapping[str, Tensor]:
        TaskGradients.of(state).add(losses, moment)
        step_losses = state.get_buffer("losses")
        for task, loss in losses.items():
            step_losses[moment.tasks.index(task)] += loss.detach().float() * moment.share
        return super().backward(state, losses, moment)  # frees the graphs, so it comes last

    def forget(self, state: nn.Module) -> None:
        state.get_buffer("losses").zero_()
        TaskGradients.of(state).clear()

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        return (TaskGradients.of(state).rows,)

    def finish(self, state: nn.Module, moment: Moment) -> None:
        """Update w. A step that is not finite changes nothing."""
        import torch

        with torch.no_grad():
            w, first, losses = (state.get_buffer(name) for name in ("w", "first", "losses"))
            gradients = TaskGradients.of(state)
            norms = gradients.rows.norm(dim=1)
            finite = torch.isfinite(losses).all() & torch.isfinite(norms).all()
            first.copy_(torch.where(finite & (first == 0), losses, first))
            ratios = losses / first.clamp(min=FLOOR)
            gradient = _slope_among(gradients.positions(moment), w, norms, ratios, self.alpha)
            adam_step(state, "w", torch.where(finite, gradient, torch.nan), self.lr)
            bounded = w.clamp(min=LEAST_WEIGHT)
            w.copy_(torch.where(finite, bounded * (len(w) / bounded.sum()), w))
            self.forget(state)


def _slope_among(
    positions: Sequence[int], w: Tensor, norms: Tensor, ratios: Tensor, alpha: float
) -> Tensor:
    """`slope` among the tasks at `positions`, and 0 for the others."""
    import torch

    if len(positions) == len(w):
        return slope(w, norms, ratios, alpha)
    # `w[positions]` would copy an index from the host and wait for the device.
    some_w, some_norms, some_ratios = (
        torch.stack([values[position] for position in positions]) for values in (w, norms, ratios)
    )
    gradient = torch.zeros_like(w)
    values = slope(some_w, some_norms, some_ratios, alpha).unbind()
    for position, value in zip(positions, values, strict=True):
        gradient[position] = value
    return gradient


def slope(w: Tensor, norms: Tensor, ratios: Tensor, alpha: float) -> Tensor:
    """dL_grad/dw (T,), for the norms |grad L_t| and the ratios L_t / L_t(0)."""
    # Equation 2: L_grad = sum_t |G_t - mean(G) r_t^alpha| with G_t = w_t n_t. The target
    # mean(G) r_t^alpha is a constant, so dL_grad/dw_t = sign(G_t - target_t) n_t.
    sizes = w * norms
    rates = ratios / ratios.mean().clamp(min=FLOOR)
    return (sizes - sizes.mean() * rates**alpha).sign() * norms


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"gradnorm": GradNorm}

"""What the gradient methods have in common: a gradient a task, one mixture of them a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import EmomtlError, Moment, TaskFacts, Weighting
from emomtl_plugins.weightings.task_gradients import (
    add_gradients_of,
    add_rows,
    as_gradients,
    forget_rows,
    gradients_into,
    in_scope,
    note_tasks,
    parameters_of_rows,
    tasks_of_step,
)
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GradientMethod(Weighting):
    """The shared parameters get a mixture of the tasks' gradients; each head gets its own task's, as it is.

    The gradients g_t of all micro-batches are summed before they are mixed, once a step, in float32 (under bf16 too). A method is
    told the Gramian G of the gradients, G_ij = g_i g_j, scaled to a mean diagonal of 1, and answers with a weight a task:
    every method but `graddrop` is a function of G alone, so nothing of the size of the model goes through a solver. TorchJD
    itself treats gradients with a norm below 0.01 as none in some methods, which the scaling avoids.

    A task without a gradient in the step has no part in the mixture, and one alone gets its gradient as it is. A step that is
    not finite is left as the plain sum, of which the loop makes no update.
    """

    joint: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("torchjd",)
    """The packages that must be installed."""

    remembers: ClassVar[bool] = False
    """True where the method's state is about all tasks: a step in which a task has no gradient is then the plain sum."""

    scope: Literal["all", "last-layer"] = "all"

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where a package is not installed."""
        lacking = [name for name in self.needs if find_spec(name) is None]
        if lacking:
            found = f"needs {' and '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not installed"
            raise EmomtlError(found, place="weighting.use", remedy='`pip install "emomtl[torchjd]"`')

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The gradients of a step, which are not saved."""
        state = super().start(tasks, shared)
        add_rows(state, tasks, in_scope(shared, self.scope))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The plain sum, which is what everything outside of the scope learns from, and a 1 for each task."""
        return weighted_sum(losses, dict.fromkeys(losses, 1.0))

    def backward(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Mapping[str, Tensor]:
        """Add each task's gradient in the scope to its row, and all else, the heads above all, to `.grad`."""
        inside = parameters_of_rows(state)
        note_tasks(state, losses)
        if self.scope == "last-layer":  # cheap: only this layer has a backward pass a task, and then all have one
            add_gradients_of(state, losses, moment)
            with gradients_into(inside, None):
                return super().backward(state, losses, moment)
        rows, last = state.get_buffer("rows"), list(losses)[-1]
        for task, loss in losses.items():
            with gradients_into(inside, rows[moment.tasks.index(task)]):
                (loss.float() * moment.share).backward(retain_graph=task != last)  # type: ignore[no-untyped-call]
        return self.combine(state, losses, moment)[1]

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        """The rows."""
        return (state.get_buffer("rows"),)

    def finish(self, state: nn.Module, moment: Moment) -> Mapping[str, Tensor]:
        """Mix the gradients of the step into `.grad`, and return the weight of each task in the mixture."""
        import torch

        with torch.no_grad():
            rows = state.get_buffer("rows")
            vector, weights = self.mixed(state, rows)
            inside = parameters_of_rows(state)
            for parameter, piece in zip(inside, as_gradients(vector, inside), strict=True):
                if parameter.requires_grad:  # a closed one has none: with a gradient of 0 AdamW would decay it
                    parameter.grad = piece if parameter.grad is None else parameter.grad + piece
            here = tasks_of_step(state, moment)
            forget_rows(state)
        return {task: weights[place] for task, place in here.items()}

    def forget(self, state: nn.Module) -> None:
        """Drop the rows of the step."""
        forget_rows(state)

    def mixed(self, state: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture (P,) of the rows (T, P) of the step's gradients, and the tasks' weights (T,), on the CPU."""
        import torch

        gramian = (rows @ rows.T).cpu()
        sizes = gramian.diagonal()
        here = sizes > 0
        weights = torch.ones(len(rows))
        if bool(torch.isfinite(gramian).all()) and int(here.sum()) > 1 and (bool(here.all()) or not self.remembers):
            size = float(sizes[here].mean())
            weights = torch.zeros(len(rows))
            weights[here] = self.weights(state, gramian[here][:, here] / size, size).to(weights)
        return weights.to(rows.device) @ rows, weights

    @abstractmethod
    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """The weight of each task that has a gradient, (t,).

        `gramian` (t, t) is that of their gradients divided by `size`, so that its diagonal has the mean 1.
        """


def coordinates(gramian: Tensor) -> Tensor:
    """R (t, t) in float64 with R Rᵀ = the Gramian: the gradients in an orthonormal basis of their span, one a row.

    Directions that are nothing but float32's rounding are 0 in it.
    """
    import torch

    values, vectors = torch.linalg.eigh(gramian.double())
    least = values.max() * len(values) * torch.finfo(torch.float32).eps
    found: Tensor = vectors * torch.where(values > least, values, torch.zeros_like(values)).sqrt()
    return found


def scaled(weights: Tensor, total: str) -> Tensor:
    """Weights of a method that gives a mean, multiplied by their number unless `total` is "one"."""
    return weights * len(weights) if total == "tasks" else weights

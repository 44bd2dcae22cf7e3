"""What the gradient methods share: one gradient for each task, mixed once a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import EmomtlError, Moment, TaskFacts, Weighting
from emomtl_plugins.weightings.task_gradients import TaskGradients
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GradientMethod(Weighting):
    """The shared parameters get a mixture of the tasks' gradients; each head gets that of its task.

    The gradients g_t are summed over all micro-batches and mixed once a step, in float32 also under
    bf16. A method sees the Gramian G, G_ij = g_i g_j, scaled to a mean diagonal of 1, and returns a
    weight for each task. All methods but `graddrop` are functions of G, so no solver sees vectors
    of the model's size. The scaling also avoids that TorchJD takes gradients with a norm below 0.01
    for none.

    A task without a gradient in the step has no part in the mixture, and a task alone gets its
    gradient as it is. A step that is not finite is left as the plain sum, and the loop skips it.
    """

    joint: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("torchjd",)
    """The packages that must be installed."""

    remembers: ClassVar[bool] = False
    """True where the method's state has a place for each task: a step in which a task has no
    gradient is then the plain sum, and the state stays as it is."""

    scope: Literal["all", "last-layer"] = "all"

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            problem = f"needs {' and '.join(missing)}, which {verb} not installed"
            remedy = '`pip install "emomtl[torchjd]"`'
            raise EmomtlError(problem, place="weighting.use", remedy=remedy)

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The gradients of a step, which are not saved."""
        state = super().start(tasks, shared)
        TaskGradients.attach(state, tasks, shared, self.scope)
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The plain sum, from which everything outside of the scope learns."""
        return weighted_sum(losses, dict.fromkeys(losses, 1.0))

    def backward(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> Mapping[str, Tensor]:
        """Add the gradients on the scope to the tasks' rows, and all others to `.grad`."""
        import torch

        gradients = TaskGradients.of(state)
        if self.scope == "last-layer":
            # Cheap: one backward pass a task through the last layer, then one through everything,
            # whose gradients on the last layer are dropped.
            gradients.add(losses, moment)
            with gradients.redirected(None):
                return super().backward(state, losses, moment)
        gradients.tasks.update(losses)
        last_task = list(losses)[-1]  # the tasks share a graph, which the last backward pass frees
        for task, loss in losses.items():
            scaled_loss = loss.float() * moment.share
            with gradients.redirected(gradients.rows[moment.tasks.index(task)]):
                torch.autograd.backward(scaled_loss, retain_graph=task != last_task)
        return self.combine(state, losses, moment)[1]

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        return (TaskGradients.of(state).rows,)

    def forget(self, state: nn.Module) -> None:
        TaskGradients.of(state).clear()

    def finish(self, state: nn.Module, moment: Moment) -> Mapping[str, Tensor]:
        """Add the mixture of the gradients to `.grad`, and return each task's weight in it."""
        import torch

        gradients = TaskGradients.of(state)
        with torch.no_grad():
            mixture, weights = self.mixed(state, gradients.rows)
            pieces = gradients.as_gradients(mixture)
            for parameter, piece in zip(gradients.parameters, pieces, strict=True):
                # A frozen parameter keeps no gradient: with one of 0, AdamW would decay it.
                if parameter.requires_grad:
                    before = parameter.grad
                    parameter.grad = piece if before is None else before + piece
            positions = gradients.positions(moment)
            gradients.clear()
        return {moment.tasks[position]: weights[position] for position in positions}

    def mixed(self, state: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture (P,) of the gradients (T, P), and the tasks' weights (T,), on the CPU."""
        import torch

        gramian = (rows @ rows.T).cpu()
        squared_norms = gramian.diagonal()
        active = squared_norms > 0
        weights = torch.ones(len(rows))
        finite = bool(torch.isfinite(gramian).all())
        complete = bool(active.all()) or not self.remembers
        if finite and complete and int(active.sum()) > 1:
            size = float(squared_norms[active].mean())
            scaled_gramian = gramian[active][:, active] / size
            weights = torch.zeros(len(rows))
            weights[active] = self.weights(state, scaled_gramian, size).to(weights)
        return weights.to(rows.device) @ rows, weights

    @abstractmethod
    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """The weight (t,) of each of the t tasks that have a gradient.

        `gramian` (t, t) is that of their gradients, divided by `size` to a mean diagonal of 1.
        """


def coordinates(gramian: Tensor) -> Tensor:
    """The gradients in an orthonormal basis of their span, one a row (t, t), in float64.

    Directions that are float32's rounding errors are 0.
    """
    import torch

    # G = V diag(e) V^T, so the rows R = V diag(sqrt(e)) have R R^T = G.
    values, vectors = torch.linalg.eigh(gramian.double())
    rounding = values.max() * len(values) * torch.finfo(torch.float32).eps
    lengths = torch.where(values > rounding, values, torch.zeros_like(values)).sqrt()
    rows: Tensor = vectors * lengths
    return rows


def scaled(weights: Tensor, total: str) -> Tensor:
    """The weights (t,) of a method that gives a mean, times t unless `total` is "one"."""
    return weights * len(weights) if total == "tasks" else weights

"""The gradient of each task apart, summed over the micro-batches of a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emomtl import Moment, SharedParameters

if TYPE_CHECKING:
    from torch import Tensor, nn

KEY = "task_gradients"


class TaskGradients:
    """A matrix of gradients: a row for each of T tasks, a column for each of P shared values.

    The matrix is the buffer `rows` (T, P) of a weighting's state, so it moves to the device with
    it. It is 0 between steps, and no checkpoint holds it.
    """

    def __init__(
        self, state: nn.Module, parameters: Sequence[nn.Parameter], task_count: int
    ) -> None:
        import torch

        self.state, self.parameters = state, tuple(parameters)
        self.tasks: set[str] = set()
        """The tasks that have a loss in this step; known to the host without a wait."""
        width = sum(parameter.numel() for parameter in parameters)
        state.register_buffer("rows", torch.zeros(task_count, width), persistent=False)

    @classmethod
    def attach(
        cls,
        state: nn.Module,
        tasks: Mapping[str, object],
        shared: Sequence[nn.Parameter],
        scope: str,
    ) -> None:
        """Put the gradients on `shared`, or on its last layer (`last-layer`), into `state`."""
        if scope == "last-layer" and isinstance(shared, SharedParameters):
            shared = shared.last
        # Past Module.__setattr__: the parameters are the encoder's, and must be neither saved nor
        # trained a second time.
        state.__dict__[KEY] = cls(state, shared, len(tasks))

    @staticmethod
    def of(state: nn.Module) -> TaskGradients:
        """The gradients that `attach` put into a state."""
        gradients: TaskGradients = state.__dict__[KEY]
        return gradients

    @property
    def rows(self) -> Tensor:
        """The matrix (T, P)."""
        return self.state.get_buffer("rows")

    def positions(self, moment: Moment) -> list[int]:
        """The rows of the tasks that have a loss in this step."""
        return [position for position, task in enumerate(moment.tasks) if task in self.tasks]

    def clear(self) -> None:
        """Forget the step."""
        self.rows.zero_()
        self.tasks.clear()

    def as_gradients(self, row: Tensor) -> list[Tensor]:
        """A row (P,) as views, one of the shape of each parameter."""
        import torch

        pieces = torch.split(row, [parameter.numel() for parameter in self.parameters])
        pairs = zip(pieces, self.parameters, strict=True)
        return [piece.view_as(parameter) for piece, parameter in pairs]

    @contextmanager
    def redirected(self, row: Tensor | None) -> Iterator[None]:
        """Within, `backward` adds the parameters' gradients to `row` (P,), or drops them for None.

        Each `.grad` is a view of the row meanwhile, into which torch adds without a copy. After it
        every `.grad` is as before.
        """
        before = [parameter.grad for parameter in self.parameters]
        views = [None] * len(before) if row is None else self.as_gradients(row)
        try:
            for parameter, view in zip(self.parameters, views, strict=True):
                parameter.grad = view
            yield
        finally:
            for parameter, gradient in zip(self.parameters, before, strict=True):
                parameter.grad = gradient

    def add(self, losses: Mapping[str, Tensor], moment: Moment) -> None:
        """Add each loss's gradient, times the micro-batch's share, to the row of its task.

        The losses keep their graphs, and no `.grad` changes.
        """
        import torch

        # A parameter that `gradual` has closed at this step has no gradient: its columns stay 0.
        trainable = [parameter for parameter in self.parameters if parameter.requires_grad]
        self.tasks.update(losses)
        if not trainable:
            return
        for task, loss in losses.items():
            scaled_loss = loss.float() * moment.share
            gradients = iter(
                torch.autograd.grad(scaled_loss, trainable, retain_graph=True, allow_unused=True)
            )
            views = self.as_gradients(self.rows[moment.tasks.index(task)])
            for parameter, view in zip(self.parameters, views, strict=True):
                gradient = next(gradients) if parameter.requires_grad else None
                if gradient is not None:
                    view.add_(gradient)

"""The gradient of each task apart, summed over the micro-batches of a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emomtl import Moment, SharedParameters

if TYPE_CHECKING:
    from torch import Tensor, nn


def in_scope(shared: Sequence[nn.Parameter], scope: str) -> Sequence[nn.Parameter]:
    """All shared parameters, or for the scope `last-layer` those of the last layer, where it is known."""
    return shared.last if scope == "last-layer" and isinstance(shared, SharedParameters) else shared


def add_rows(state: nn.Module, tasks: Mapping[str, object], parameters: Sequence[nn.Parameter]) -> None:
    """Give `state` the buffer `rows` (T, P), for T tasks and all P values of the `parameters`; 0 between steps, and not saved.

    Beside it stands which tasks have a loss in the step under way; see `note_tasks`.
    """
    import torch

    state.register_buffer("rows", torch.zeros(len(tasks), sum(p.numel() for p in parameters)), persistent=False)
    state.__dict__["tasks_of_step"] = set()
    state.__dict__["parameters_of_rows"] = tuple(parameters)  # beside the module's own: they must not be saved or trained twice


def forget_rows(state: nn.Module) -> None:
    """Drop the gradients of the step, and which tasks it had."""
    state.get_buffer("rows").zero_()
    state.__dict__["tasks_of_step"].clear()


def note_tasks(state: nn.Module, losses: Mapping[str, object]) -> None:
    """Remember until the step ends that these tasks have a loss in it."""
    state.__dict__["tasks_of_step"].update(losses)


def tasks_of_step(state: nn.Module, moment: Moment) -> dict[str, int]:
    """The tasks that have a loss in the step, each with its place among all of the run; known on the host."""
    here = state.__dict__["tasks_of_step"]
    return {task: place for place, task in enumerate(moment.tasks) if task in here}


def parameters_of_rows(state: nn.Module) -> tuple[nn.Parameter, ...]:
    """The parameters whose gradients the rows hold, in their order."""
    found: tuple[nn.Parameter, ...] = state.__dict__["parameters_of_rows"]
    return found


def as_gradients(row: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """A row (P,) cut into views of the parameters' shapes."""
    import torch

    pieces = torch.split(row, [parameter.numel() for parameter in parameters])
    return [piece.view_as(parameter) for piece, parameter in zip(pieces, parameters, strict=True)]


@contextmanager
def gradients_into(parameters: Sequence[nn.Parameter], row: Tensor | None) -> Iterator[None]:
    """Within, `backward` adds the parameters' gradients to `row` (P,), or drops them where it is None; `.grad` is then as before.

    No copy is made: while it lasts, each `.grad` is a view of the row, into which torch adds.
    """
    kept = [parameter.grad for parameter in parameters]
    aimed = [None] * len(parameters) if row is None else as_gradients(row, parameters)
    try:
        for parameter, gradient in zip(parameters, aimed, strict=True):
            parameter.grad = gradient
        yield
    finally:
        for parameter, gradient in zip(parameters, kept, strict=True):
            parameter.grad = gradient


def add_gradients_of(state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> None:
    """Add each loss's gradient, by the micro-batch's share, to its task's row and nowhere else; the losses keep their graphs.

    A parameter that is closed at this step, as `gradual` closes them, has none: its part of the row stays 0.
    """
    import torch

    parameters = parameters_of_rows(state)
    open_now = [parameter for parameter in parameters if parameter.requires_grad]
    for task, loss in losses.items() if open_now else ():
        row = as_gradients(state.get_buffer("rows")[moment.tasks.index(task)], parameters)
        places = [place for place, parameter in zip(row, parameters, strict=True) if parameter.requires_grad]
        found = torch.autograd.grad(loss.float() * moment.share, open_now, retain_graph=True, allow_unused=True)
        for place, gradient in zip(places, found, strict=True):
            if gradient is not None:
                place.add_(gradient)

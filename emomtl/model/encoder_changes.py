"""Changes of the encoder, applied: which new parameters are one task's own, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from emomtl.contracts.encoder_change import EncoderChange, TaskSwitch
from emomtl.contracts.sampler import Moment
from emomtl.errors import EmomtlError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class AppliedChanges:
    """What changes did to an encoder, with the switch that they read.

    `per_task` says that the encoder answers each task in its own way. `own` gives by name the task
    of each parameter of the encoder that belongs to one alone. `schedules` are called before each
    step. `added` gives by name the number of the change that added a parameter or buffer.
    """

    switch: TaskSwitch
    per_task: bool
    own: Mapping[str, str]
    schedules: Sequence[Callable[[Moment], None]] = ()
    added: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, encoder: nn.Module, changes: Sequence[EncoderChange], tasks: Sequence[str], seed: int
    ) -> AppliedChanges:
        """Apply changes in their order; EmomtlError, with its place, where one does not fit."""
        switch = TaskSwitch(tasks, seed)
        pretrained = list(encoder.parameters())
        task_by_id: dict[int, str] = {}
        # tensors are told apart by identity, as a change may rename those that were there
        change_by_id = dict.fromkeys(_ids(encoder).values(), -1)
        schedules: list[Callable[[Moment], None]] = []
        for number, change in enumerate(changes):
            try:
                applied = change.apply(encoder, pretrained, switch)
            except EmomtlError as error:
                place = f"encoder.changes[{number}]"
                raise EmomtlError(
                    *(replace(p, place=f"{place}.{p.place}".strip(".")) for p in error.problems)
                ) from error
            for task, parameters in applied.own.items():
                task_by_id |= dict.fromkeys(map(id, parameters), task)
            for tensor in _ids(encoder).values():
                change_by_id.setdefault(tensor, number)
            if applied.at is not None:
                schedules.append(applied.at)
        encoder.train(encoder.training)  # what was added gets the mode of the encoder
        own: dict[str, str] = {}
        added: dict[str, int] = {}
        for name, tensor in _ids(encoder).items():
            if tensor in task_by_id:
                own[name] = task_by_id[tensor]
            if change_by_id[tensor] >= 0:
                added[name] = change_by_id[tensor]
        return cls(switch, any(change.per_task for change in changes), own, schedules, added)

    def at(self, moment: Moment) -> None:
        """Open and close parameters for the step at this moment."""
        for schedule in self.schedules:
            schedule(moment)


def _ids(encoder: nn.Module) -> dict[str, int]:
    """The identity of each parameter and buffer, by name."""
    named = [*encoder.named_parameters(), *encoder.named_buffers()]
    return {name: id(tensor) for name, tensor in named}

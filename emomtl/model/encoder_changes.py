"""What tasks share and what is their own: changes of the encoder, heads that answer for several tasks, and counts of both."""

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
    """How the encoder was changed: the switch that its changes read, whose each new parameter is, and what is due at a moment.

    `own` names the parameters of the encoder (as it names them) that belong to one task alone, by name. `added` says of
    parameters and buffers that are no part of the pretrained encoder which change added them, by its number.
    """

    switch: TaskSwitch
    per_task: bool
    own: Mapping[str, str]
    schedules: Sequence[Callable[[Moment], None]] = ()
    added: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: nn.Module, changes: Sequence[EncoderChange], tasks: Sequence[str], seed: int) -> AppliedChanges:
        """Apply the changes to the encoder, in their order; what one of them cannot do is an error with its place."""
        switch = TaskSwitch(tasks, seed)
        pretrained = list(encoder.parameters())
        owners: dict[int, str] = {}
        added_by: dict[int, int] = dict.fromkeys(_identities(encoder).values(), -1)
        schedules = []
        for number, change in enumerate(changes):
            try:
                applied = change.apply(encoder, pretrained, switch)
            except EmomtlError as error:
                place = f"encoder.changes[{number}]"
                placed = (replace(problem, place=f"{place}.{problem.place}".strip(".")) for problem in error.problems)
                raise EmomtlError(*placed) from error
            owners |= {id(parameter): task for task, theirs in applied.own.items() for parameter in theirs}
            for tensor in _identities(encoder).values():
                added_by.setdefault(tensor, number)
            schedules += [applied.at] if applied.at is not None else []
        encoder.train(encoder.training)  # what was added answers in the mode of the encoder
        own = {name: owners[id(parameter)] for name, parameter in encoder.named_parameters() if id(parameter) in owners}
        added = {name: number for name, tensor in _identities(encoder).items() if (number := added_by[tensor]) >= 0}
        return cls(switch, any(change.per_task for change in changes), own, schedules, added)

    def at(self, moment: Moment) -> None:
        """Open and close parameters for the step at this moment."""
        for schedule in self.schedules:
            schedule(moment)


def _identities(encoder: nn.Module) -> dict[str, int]:
    """What tells the parameters and buffers of an encoder apart, whatever a change makes of their names, by name."""
    return {name: id(tensor) for name, tensor in [*encoder.named_parameters(), *encoder.named_buffers()]}

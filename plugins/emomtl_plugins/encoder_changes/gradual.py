"""Gradual unfreezing: heads learn first, then the encoder from its top layer down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from emomtl import Applied, EmomtlError, EncoderChange, Moment, TaskSwitch, encoder_layers, hookimpl
from emomtl_plugins.encoder_changes.frozen import Frozen
from emomtl_plugins.encoder_changes.layers import below_the_layers

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Gradual(EncoderChange):
    """At first `start` groups of the encoder learn, then more from the top down: layer L, ..., layer 1, the embeddings.

    Howard & Ruder (2018), arXiv:1801.06146, section 3.3, open one more layer each epoch: `by` = "epoch" opens start + e groups
    in epoch e, counted from 0. A transformer has more layers than a run of a few epochs has epochs, so `by` = "progress" is the
    default here: of the G groups, start + floor((G − start) p / until) are open at progress p, and all from p = `until` on. With
    `start` = 0 the heads learn alone at first; the paper's slanted rates are not part of this, nor are its rates by layer.
    The pooler, final norms and what other changes add outside of layers learn from the first step. A closed parameter has
    no gradient, so AdamW neither moves nor decays it, and its moments begin when it opens.
    """

    start: Annotated[int, Ge(0)] = 0
    until: Annotated[float, Gt(0), Le(1)] = 0.5
    by: Literal["progress", "epoch"] = "progress"

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """Refuse an encoder that is frozen as a whole: nothing would be left to open."""
        if any(isinstance(other, Frozen) and other.layers is None for other in others):
            remedy = "leave one of the two out, or freeze the lowest layers only"
            raise EmomtlError("the whole encoder is frozen, so nothing can be unfrozen gradually", remedy=remedy)

    def open(self, groups: int, moment: Moment) -> int:
        """How many of the groups, counted from the top, learn at this moment."""
        if self.by == "epoch":
            return min(groups, self.start + moment.epoch)
        more = max(0, groups - self.start)
        return min(groups, self.start + int(more * moment.progress / self.until + 1e-9))

    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Nothing yet; before each step the groups of that moment are opened, and the others closed."""
        groups: list[list[nn.Parameter]] = []

        def at(moment: Moment) -> None:
            if not groups:  # by now all changes were applied, and what is frozen for good is known
                found = [list(layer.parameters()) for layer in reversed(encoder_layers(encoder))]
                found.append(below_the_layers(encoder, pretrained))
                groups.extend([parameter for parameter in group if parameter.requires_grad] for group in found)
            number = self.open(len(groups), moment)
            for place, group in enumerate(groups):
                for parameter in group:
                    parameter.requires_grad_(place < number)

        encoder_layers(encoder)
        return Applied(at=at)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    """Offer `gradual`."""
    return {"gradual": Gradual}

"""`gradual`: gradual unfreezing. Heads learn first, then the encoder from its top layer down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from emomtl import Applied, EmomtlError, EncoderChange, Moment, TaskSwitch, encoder_layers, hookimpl
from emomtl_plugins.encoder_changes.frozen import Frozen
from emomtl_plugins.encoder_changes.layers import embedding_parameters

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Gradual(EncoderChange):
    """First `start` groups learn, then more from the top: layer L, ..., layer 1, the embeddings.

    Howard & Ruder (2018), arXiv:1801.06146, section 3.3, unfreeze one more layer each epoch:
    `by` = "epoch" unfreezes start + e groups in epoch e, counted from 0. A transformer has more
    layers than a run has epochs, so `by` = "progress" is the default: of the G groups
    start + floor((G − start) p / until) are trainable at progress p, and all from p = `until` on.
    With `start` = 0 the heads learn alone at first. The pooler, final norms and what other changes
    add outside of layers learn from the first step. A frozen parameter has no gradient, so AdamW
    neither moves nor decays it, and its moments begin when it is unfrozen.

    Departure: the paper's slanted learning rates and its rates by layer are not part of this.
    """

    start: Annotated[int, Ge(0)] = 0
    until: Annotated[float, Gt(0), Le(1)] = 0.5
    by: Literal["progress", "epoch"] = "progress"

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """`EmomtlError` where the whole encoder is frozen: nothing would be left to unfreeze."""
        if any(isinstance(other, Frozen) and other.layers is None for other in others):
            problem = "the whole encoder is frozen, so nothing can be unfrozen gradually"
            remedy = "leave one of the two out, or freeze the lowest layers only"
            raise EmomtlError(problem, remedy=remedy)

    def open(self, groups: int, moment: Moment) -> int:
        """How many of the groups, counted from the top, are trainable at this moment."""
        if self.by == "epoch":
            return min(groups, self.start + moment.epoch)
        frozen_at_first = max(0, groups - self.start)
        # 1e-9 makes up for rounding: (G - start) p / until may be 2.9999999999999996 for 3
        unfrozen = int(frozen_at_first * moment.progress / self.until + 1e-9)
        return min(groups, self.start + unfrozen)

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        """Change nothing yet: `at` unfreezes the groups of a moment and freezes the others."""
        groups: list[list[nn.Parameter]] = []

        def at(moment: Moment) -> None:
            if not groups:  # not earlier: a later change of the manifest may freeze some for good
                members = [list(layer.parameters()) for layer in reversed(encoder_layers(encoder))]
                members.append(embedding_parameters(encoder, pretrained))
                for group in members:
                    groups.append([parameter for parameter in group if parameter.requires_grad])
            open_groups = self.open(len(groups), moment)
            for position, group in enumerate(groups):
                for parameter in group:
                    parameter.requires_grad_(position < open_groups)

        encoder_layers(encoder)  # raises at once where the encoder has no layers to go by
        return Applied(at=at)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    return {"gradual": Gradual}

"""`shallow`: an encoder of fewer layers, the lowest ones of the pretrained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from emomtl import Applied, EncoderChange, TaskSwitch, hookimpl
from emomtl_plugins.encoder_changes.layers import at_least

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Shallow(EncoderChange):
    """Keeps the lowest `layers` layers and removes those above, which saves their time and memory.

    Sajjad, Dalvi, Durrani & Nakov (2023), arXiv:2004.03844, call it top-layer dropping. It is the
    best of their ways to drop layers: without up to 40% of its layers BERT keeps up to 98% of its
    scores on GLUE, each task fine-tuned alone.
    """

    layers: Annotated[int, Ge(1)]

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        layers = at_least(encoder, self.layers)
        del layers[self.layers :]  # type: ignore[attr-defined]  # torch has no type for this
        # The config is written into exported models, so it has to name the real depth.
        encoder.config.num_hidden_layers = self.layers  # type: ignore[union-attr]
        return Applied()


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    return {"shallow": Shallow}

"""An encoder that does not learn, whole or from the bottom up to some layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from emomtl import Applied, EncoderChange, TaskSwitch, hookimpl
from emomtl_plugins.encoder_changes.layers import below_the_layers, layers_with_lowest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Frozen(EncoderChange):
    """The pretrained parameters keep their values: all of them, or those of the embeddings and the lowest `layers` layers.

    Howard & Ruder (2018), arXiv:1801.06146, compare fine-tuning with a frozen encoder ("Last"); Lee, Tang & Lin (2019),
    arXiv:1911.03090, freeze from the bottom up. `layers` = 0 freezes the embeddings alone. What other changes add (PALs, LoRA)
    learns all the same. Dropout stays on in frozen layers; `encoder.dropout = 0` switches it off everywhere in the encoder.
    """

    layers: Annotated[int, Ge(0)] | None = None

    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Freeze for good: what is frozen here is not in the optimiser."""
        theirs = {id(parameter) for parameter in pretrained}
        for parameter in pretrained if self.layers is None else self._lowest(encoder, self.layers, pretrained):
            if id(parameter) in theirs:
                parameter.requires_grad_(False)
        return Applied()

    def _lowest(self, encoder: nn.Module, number: int, pretrained: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        lowest = layers_with_lowest(encoder, number)[:number]
        low = [parameter for layer in lowest for parameter in layer.parameters()]
        return below_the_layers(encoder, pretrained) + low


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    """Offer `frozen`."""
    return {"frozen": Frozen}

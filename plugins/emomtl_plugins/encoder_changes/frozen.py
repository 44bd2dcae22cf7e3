"""`frozen`: an encoder that does not learn, whole or from the bottom up to some layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from emomtl import Applied, EncoderChange, TaskSwitch, hookimpl
from emomtl_plugins.encoder_changes.layers import at_least, embedding_parameters

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Frozen(EncoderChange):
    """Freezes all pretrained parameters, or the embeddings and the lowest `layers` layers.

    Howard & Ruder (2018), arXiv:1801.06146, compare fine-tuning with a frozen encoder ("Last");
    Lee, Tang & Lin (2019), arXiv:1911.03090, freeze from the bottom up. `layers` = 0 freezes the
    embeddings alone. What other changes add (PALs, LoRA) still learns. Dropout stays on in frozen
    layers; `encoder.dropout = 0` switches it off everywhere in the encoder.
    """

    layers: Annotated[int, Ge(0)] | None = None

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        """Freeze before the optimiser is made, so that it does not see these parameters."""
        if self.layers is None:
            frozen = list(pretrained)
        else:
            frozen = embedding_parameters(encoder, pretrained)
            for layer in at_least(encoder, self.layers)[: self.layers]:
                frozen += layer.parameters()
        pretrained_ids = {id(parameter) for parameter in pretrained}
        for parameter in frozen:
            if id(parameter) in pretrained_ids:  # not what another change put into a layer
                parameter.requires_grad_(False)
        return Applied()


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    return {"frozen": Frozen}

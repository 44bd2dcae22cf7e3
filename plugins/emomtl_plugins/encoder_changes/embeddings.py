"""The embeddings below the layers of an encoder, whatever the architecture calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emomtl import encoder_layers

if TYPE_CHECKING:
    from torch import nn


def below_the_layers(encoder: Any, pretrained: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The pretrained parameters of embeddings: of tokens, positions and segments, with their norm, wherever they are."""
    theirs = {id(parameter) for parameter in pretrained}
    inside = {id(parameter) for layer in encoder_layers(encoder) for parameter in layer.parameters()}
    named = encoder.named_parameters()
    return [parameter for name, parameter in named if "embedding" in name and id(parameter) in theirs - inside]

"""The lowest layers of an encoder and the embeddings below them, whatever the architecture calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emomtl import EmomtlError, encoder_layers

if TYPE_CHECKING:
    from torch import nn


def layers_with_lowest(encoder: nn.Module, number: int) -> Sequence[nn.Module]:
    """All layers of an encoder, the lowest first; `EmomtlError` at the option `layers` where it has fewer than `number`."""
    layers = encoder_layers(encoder)
    if number > len(layers):
        remedy = f"a number up to {len(layers)}"
        raise EmomtlError(f"the encoder has {len(layers)} layers", place="layers", remedy=remedy)
    return layers


def below_the_layers(encoder: Any, pretrained: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The pretrained parameters of embeddings: of tokens, positions and segments, with their norm, wherever they are."""
    theirs = {id(parameter) for parameter in pretrained}
    inside = {id(parameter) for layer in encoder_layers(encoder) for parameter in layer.parameters()}
    named = encoder.named_parameters()
    return [parameter for name, parameter in named if "embedding" in name and id(parameter) in theirs - inside]

"""The lowest layers of an encoder and the embeddings below them, in any architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emomtl import EmomtlError, encoder_layers

if TYPE_CHECKING:
    from torch import nn


def at_least(encoder: nn.Module, number: int) -> Sequence[nn.Module]:
    """All layers, the lowest first. `EmomtlError` at the option `layers` where there are fewer."""
    layers = encoder_layers(encoder)
    if number > len(layers):
        problem = f"the encoder has {len(layers)} layers"
        raise EmomtlError(problem, place="layers", remedy=f"a number up to {len(layers)}")
    return layers


def embedding_parameters(
    encoder: nn.Module, pretrained: Sequence[nn.Parameter]
) -> list[nn.Parameter]:
    """The pretrained parameters of the embeddings of tokens, positions and segments, with norms."""
    candidates = {id(parameter) for parameter in pretrained}
    for layer in encoder_layers(encoder):  # a layer may have embeddings of its own, as in DeBERTa
        candidates -= {id(parameter) for parameter in layer.parameters()}
    named = encoder.named_parameters()
    return [p for name, p in named if "embedding" in name and id(p) in candidates]

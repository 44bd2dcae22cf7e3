"""The layers of an encoder from bottom to top, and the embeddings below them, whatever the architecture calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emomtl import EmomtlError

if TYPE_CHECKING:
    from torch import nn


def layers_of(encoder: Any) -> list[nn.Module]:
    """The encoder's layers, the lowest first; `EmomtlError` where they share their weights or are not one list of modules."""
    from torch import nn

    number = int(encoder.config.num_hidden_layers)
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number and len({id(layer) for layer in module}) == number:
            return list(module)
    raise EmomtlError(
        f"the encoder ({encoder.config.model_type}) has no list of {number} layers of their own",
        remedy="an encoder whose layers do not share their weights, such as BERT, RoBERTa, ELECTRA, DeBERTa or ModernBERT",
    )


def below_the_layers(encoder: Any, pretrained: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The pretrained parameters of embeddings: of tokens, positions and segments, with their norm, wherever they are."""
    theirs = {id(parameter) for parameter in pretrained}
    inside = {id(parameter) for layer in layers_of(encoder) for parameter in layer.parameters()}
    named = encoder.named_parameters()
    return [parameter for name, parameter in named if "embedding" in name and id(parameter) in theirs - inside]

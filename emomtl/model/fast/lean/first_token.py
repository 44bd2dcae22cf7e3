"""Where a text's vector is read from its first token, the last layer is computed for that token alone, in training.

Its keys and values still come from all tokens; its query, output, and feed-forward layers for the others would be thrown
away. The states, losses and gradients are those of the whole layer; dropout draws fewer numbers. Scoring computes all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from emomtl.contracts.encoder import encoder_layers
from emomtl.errors import EmomtlError
from emomtl.model.architectures import architecture_of


class FirstToken:
    """Hooks of one layer, (B, T, W) -> (B, 1, W) while it trains; between the two of the query T is remembered."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._length = 0
        attention = layer.attention
        attention.self.query.register_forward_pre_hook(self._before_query)
        attention.self.query.register_forward_hook(self._after_query)
        attention.output.register_forward_pre_hook(self._before_output)

    @property
    def parameters(self) -> int:
        """Parameters that one token of a text is multiplied with: all of the layer but those of keys and values."""
        attention = self.layer.attention.self
        whole, key, value = (sum(p.numel() for p in part.parameters()) for part in (self.layer, attention.key, attention.value))
        return int(whole - key - value)

    def _before_query(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._length = args[0].shape[1]
        return (args[0][:, :1],) if module.training else args

    def _after_query(self, module: nn.Module, args: tuple[Tensor, ...], query: Tensor) -> Tensor:
        """The layer reshapes its query as it does its keys, so it is repeated, without memory of its own."""
        return query.expand(-1, self._length, -1)

    def _before_output(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(states[:, :1] for states in args) if module.training else args


def read_first_token(encoder: Any) -> FirstToken | None:
    """Let the last layer of an encoder that is known compute its first token alone while it trains; None for others."""
    if not architecture_of(encoder.config).no_first_token:
        with suppress(EmomtlError):  # it lists no layers
            return FirstToken(encoder_layers(encoder)[-1])
    return None

"""The last layer computed for a text's first token alone, in training.

Where a text's vector is read from its first token, the query, output and feed-forward layers of the
other tokens would be thrown away; keys and values still come from all tokens. States, losses and
gradients are those of the whole layer; dropout draws fewer numbers. Scoring computes all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from emomtl.contracts.encoder import encoder_layers
from emomtl.errors import EmomtlError
from emomtl.model.architectures import architecture_of


class FirstToken:
    """Hooks of one layer, (B, T, W) -> (B, 1, W) while it trains.

    T is remembered from before the query to after it.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._length = 0
        attention = layer.attention
        attention.self.query.register_forward_pre_hook(self._before_query)
        attention.self.query.register_forward_hook(self._after_query)
        attention.output.register_forward_pre_hook(self._before_output)

    @property
    def parameters(self) -> int:
        """Parameters that one token is multiplied with: all but those of keys and values."""
        attention = self.layer.attention.self
        parts = (self.layer, attention.key, attention.value)
        layer, key, value = (sum(p.numel() for p in part.parameters()) for part in parts)
        return int(layer - key - value)

    def _before_query(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._length = args[0].shape[1]
        return (args[0][:, :1],) if module.training else args

    def _after_query(self, module: nn.Module, args: tuple[Tensor, ...], query: Tensor) -> Tensor:
        """Repeat the query, without new memory: the layer reshapes it as it does its keys."""
        return query.expand(-1, self._length, -1)

    def _before_output(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(states[:, :1] for states in args) if module.training else args


def read_first_token(encoder: Any) -> FirstToken | None:
    """Let an encoder's last layer compute the first token alone while it trains; None if it can't.

    That depends on the architecture, whose layers must each have weights of their own.
    """
    if not architecture_of(encoder.config).no_first_token:
        with suppress(EmomtlError):  # the encoder lists no layers
            return FirstToken(encoder_layers(encoder)[-1])
    return None

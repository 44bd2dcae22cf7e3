"""The layers of an encoder: which of them are read for a text's vector, and how fast each learns (Sun et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.encoder import encoder_layers
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from torch import Tensor, nn

Joining = Literal["mean", "max", "concat"]
"""How the vectors that several layers give for a token become one."""


@dataclass(frozen=True)
class LastLayers:
    """The last `number` layers of an encoder, whose vectors of a token are joined before tokens are pooled.

    Sun et al. (2019, section 5.3.2) read the first token of the last four; here `pooling` says which tokens, as for one layer.
    """

    number: int = 1
    by: Joining = "mean"

    @property
    def asked(self) -> Mapping[str, Any]:
        """What the encoder is asked for beside its last layer."""
        return {} if self.number == 1 else {"output_hidden_states": True}

    def width(self, hidden: int) -> int:
        """The width of a joined vector."""
        return hidden * self.number if self.by == "concat" else hidden

    def states(self, output: Any) -> Tensor:
        """The encoder's output as one vector a token, (B, T, width)."""
        last: Tensor = output.last_hidden_state
        if self.number == 1:
            return last
        import torch

        layers = [*output.hidden_states[-self.number : -1], last]
        if self.by == "concat":
            return torch.cat(layers, dim=-1)
        stacked = torch.stack(layers)
        return stacked.amax(dim=0) if self.by == "max" else stacked.mean(dim=0)

    def check(self, config: Any) -> None:
        """Refuse more layers than the encoder has."""
        depth = getattr(config, "num_hidden_layers", None)
        if depth is not None and self.number > depth:
            remedy = f"layers = 1 (the last) to {depth}"
            raise EmomtlError(Problem("encoder.layers", f"{self.number} layers, and the encoder has {depth}", remedy))


LAST = LastLayers()
"""The last layer alone."""


def layer_factors(encoder: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """The part of the learning rate at which each parameter of a layer learns: decay^(L - 1 - i) in layer i of L, from 0.

    The last layer has the whole rate. Parameters outside of the layers (embeddings, pooler, final norm) are not named: they
    keep it too, as in the authors' code; in the paper's formula, the embeddings would come below layer 0. Nothing is named
    where `decay` is 1.
    """
    if decay == 1.0:
        return {}
    try:
        layers = encoder_layers(encoder)
    except EmomtlError as error:
        found = error.problems[0].found
        raise EmomtlError(Problem("train.layer_decay", found, "layer_decay = 1.0: all parameters learn at one rate")) from error
    return {p: decay ** (len(layers) - 1 - number) for number, layer in enumerate(layers) for p in layer.parameters()}

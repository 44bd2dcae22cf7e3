"""The layers of an encoder: which are read for a vector, and how fast each learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.encoder import encoder_layers
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from torch import Tensor, nn

Joining = Literal["mean", "max", "concat"]
"""How a token's vectors of several layers become one."""


@dataclass(frozen=True)
class LastLayers:
    """The last `number` layers of an encoder, joined to one vector a token before pooling.

    Sun et al. (2019, section 5.3.2) read the first token of the last four; here `pooling` says
    which tokens are read, as for one layer.
    """

    number: int = 1
    by: Joining = "mean"

    @property
    def asked(self) -> Mapping[str, Any]:
        """Arguments of the encoder's forward pass that ask for these layers."""
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

        # `last` stands for the last of `hidden_states`: some encoders normalise it after them
        layers = [*output.hidden_states[-self.number : -1], last]
        if self.by == "concat":
            return torch.cat(layers, dim=-1)
        stacked = torch.stack(layers)
        return stacked.amax(dim=0) if self.by == "max" else stacked.mean(dim=0)

    def check(self, config: Any) -> None:
        """Refuse more layers than the encoder has."""
        depth = getattr(config, "num_hidden_layers", None)
        if depth is not None and self.number > depth:
            finding = f"{self.number} layers, and the encoder has {depth}"
            remedy = f"layers = 1 (the last) to {depth}"
            raise EmomtlError(Problem("encoder.layers", finding, remedy))


LAST = LastLayers()
"""The last layer alone."""


def layer_factors(encoder: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """The part of the learning rate for each parameter of a layer: empty where `decay` is 1.

    Sun et al. (2019, section 5.3.3): layer i of L, from 0, learns at decay^(L - 1 - i) of the rate
    of the last. Parameters outside the layers (embeddings, pooler, final norm) keep the whole rate,
    as in the authors' code; by the paper's formula the embeddings would come below layer 0.
    """
    if decay == 1.0:
        return {}
    try:
        layers = encoder_layers(encoder)
    except EmomtlError as error:
        remedy = "layer_decay = 1.0: all parameters learn at one rate"
        problem = Problem("train.layer_decay", error.problems[0].found, remedy)
        raise EmomtlError(problem) from error
    factors: dict[nn.Parameter, float] = {}
    for number, layer in enumerate(layers):
        factor = decay ** (len(layers) - 1 - number)
        factors |= dict.fromkeys(layer.parameters(), factor)
    return factors

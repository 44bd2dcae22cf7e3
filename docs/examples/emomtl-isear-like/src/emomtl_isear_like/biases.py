"""The encoder change `biases-only`: of the pretrained encoder only its biases learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import Applied, EncoderChange, TaskSwitch, hookimpl

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class BiasesOnly(EncoderChange):
    """Everything pretrained but the biases is frozen (BitFit: Ben Zaken, Ravfogel & Goldberg, 2022; arXiv:2106.10199).

    `norms` lets the scales of layer norms learn, too.
    """

    norms: bool = False

    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Freeze by name; what other changes have added stays as it is."""
        theirs = {id(parameter) for parameter in pretrained}
        for name, parameter in encoder.named_parameters():
            learns = name.endswith(".bias") or (self.norms and "norm" in name.lower())
            if id(parameter) in theirs and not learns:
                parameter.requires_grad_(False)
        return Applied()


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    """Offer `biases-only`."""
    return {"biases-only": BiasesOnly}

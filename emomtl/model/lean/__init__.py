"""The same updates in less time, for training on a CPU: lean layers, and nothing computed that nobody reads.

What each part saves is measured in docs/performance.md. Scoring is left as it is, so that a score does not depend on who
computes it; on CUDA nothing is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from emomtl.model.attention import use_attention
from emomtl.model.lean.attention import ATTENTION, attend
from emomtl.model.lean.first_token import read_first_token
from emomtl.model.lean.layers import Dropout, Linear
from emomtl.model.lean.word_gradient import keep_gradient

if TYPE_CHECKING:
    from emomtl.model.network import MultiTaskModel

__all__ = ["make_lean", "spare"]


def make_lean(model: nn.Module, encoder: Any) -> None:
    """Let a model that trains on the CPU use what is here: the layers in place, and attention where its encoder uses torch's."""
    ours: dict[type[nn.Module], type[nn.Module]] = {nn.Dropout: Dropout}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ours[nn.Linear] = Linear
    for module in model.modules():
        if type(module) in ours:
            module.__class__ = ours[type(module)]
    if getattr(encoder.config, "_attn_implementation", None) == "sdpa":
        use_attention(encoder, ATTENTION, attend)


def spare(model: MultiTaskModel, *, first_token: bool, word_gradient: bool) -> None:
    """Let a model that trains on the CPU spare what it can of its last layer and its word embedding, where both are allowed.

    The last layer is computed for the first token alone where texts are read from it: no head reads tokens, and no layer but
    the last is read. `first_token` says that the encoder is as it was published and sees padded texts, `word_gradient` that
    the step's gradient is made by `backward` alone, in one process.
    """
    if first_token and model.pooling in ("cls", "pooler") and model.layers.number == 1 and model.vocabulary is None:
        model.first_token = read_first_token(model.encoder)
    if word_gradient:
        keep_gradient(model.encoder)

"""Attention functions of ours, which transformers calls by a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def use_attention(encoder: Any, name: str, attend: Callable[..., tuple[Tensor, None]]) -> None:
    """Let an encoder attend by a function, registered under a name; masks are those of sdpa."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, sdpa_mask)
    encoder.set_attn_implementation(name)

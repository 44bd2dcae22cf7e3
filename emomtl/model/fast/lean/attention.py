"""Attention with dropout in less time on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emomtl.model.fast.lean.layers import masked

ATTENTION = "emomtl_lean"
"""The name under which transformers knows our attention."""


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with dropout, (B, H, T, D) each -> (B, T, H, D); without dropout it is torch's own.

    torch's fused kernel for the CPU has no dropout; its fallback copies and draws slowly. A query that is one token's,
    repeated (`first_token`), is answered once. Grouped keys, causal masks and other devices are left to transformers'
    implementation.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward  # untyped, as all of transformers

    dropout = options.get("dropout") or 0.0
    causal = options.get("is_causal", getattr(module, "is_causal", False))
    if not 0.0 < dropout < 1.0 or causal or key.shape != query.shape or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    scale, length = options.get("scaling"), query.shape[-2]
    if query.stride(-2) == 0:
        query = query[..., :1, :]
        attention_mask = attention_mask if attention_mask is None else attention_mask[..., :1, :]
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    shares = masked(scores.softmax(dim=-1), dropout)
    found = (shares @ value).transpose(1, 2).contiguous()
    return found.expand(-1, length, -1, -1), None

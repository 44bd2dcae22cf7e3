"""The same arithmetic in less time, for training on a CPU: dropout, attention with dropout, linear layers.

torch draws a dropout mask on the CPU one Bernoulli number at a time, and multiplies matrices with MKL where oneDNN is
faster for the shapes of an encoder. What each of these saves is measured in docs/performance.md. Scoring is left as it
is, so that a score does not depend on who computes it; on CUDA nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 1 << 16
"""Values that a mask's random number can take: a probability is rounded to 1/65536, and the scale with it."""

# torch types neither its operators nor Function.apply: hence the ignored types below.

ATTENTION = "emomtl_lean"
"""The name under which transformers knows our attention."""


class _Masked(torch.autograd.Function):
    """x times a mask that is 0 with probability p, and else 1 / (1 - p)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        kept = min(max(round((1.0 - p) * STEPS), 1), STEPS)
        number = x.numel()
        draws = torch.empty((number + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        uniform = draws.view(torch.int16)[:number].view(x.shape)
        mask = (uniform < kept - STEPS // 2) if kept < STEPS else torch.ones(x.shape, dtype=torch.bool)
        mask = mask.to(x.dtype).mul_(STEPS / kept)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.saved_tensors[0], None


def masked(x: Tensor, p: float) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014) of a CPU tensor of any shape; p is rounded to 1/65536, its mean is exact."""
    return _Masked.apply(x, p)  # type: ignore[no-any-return, no-untyped-call]


class Dropout(nn.Dropout):
    """nn.Dropout whose mask comes from 16 random bits a value; draws from torch's generator like the original."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0.0 < self.p < 1.0 or input.device.type != "cpu":
            return super().forward(input)
        return masked(input, self.p)


class _Linear(torch.autograd.Function):
    """x Wᵀ + b by oneDNN, and so the gradient of x; that of W is faster by MKL. Differentiable more than once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        flat = grad.reshape(-1, grad.shape[-1])
        of_x = _Linear.apply(grad, weight.t(), None) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = flat.t() @ x.reshape(-1, x.shape[-1]) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, flat.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """nn.Linear by oneDNN while it trains in fp32 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        fits = input.dtype == self.weight.dtype == torch.float32 and input.device.type == "cpu" and input.numel() > 0
        if not self.training or not fits or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        return _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with dropout, (B, H, T, D) each -> (B, T, H, D); without dropout it is torch's own.

    torch's fused kernel for the CPU has no dropout; its fallback copies and draws slowly. Grouped keys, causal masks and
    other devices are left to transformers' implementation.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    dropout = options.get("dropout") or 0.0
    causal = options.get("is_causal", getattr(module, "is_causal", False))
    if not 0.0 < dropout < 1.0 or causal or key.shape != query.shape or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    scale = options.get("scaling")
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    shares = masked(scores.softmax(dim=-1), dropout)
    return (shares @ value).transpose(1, 2).contiguous(), None


def make_lean(model: nn.Module, encoder: Any) -> None:
    """Let a model that trains on the CPU use what is here: the layers in place, and attention where its encoder uses torch's."""
    ours: dict[type[nn.Module], type[nn.Module]] = {nn.Dropout: Dropout}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ours[nn.Linear] = Linear
    for module in model.modules():
        if type(module) in ours:
            module.__class__ = ours[type(module)]
    if getattr(encoder.config, "_attn_implementation", None) == "sdpa":
        use_attention(encoder, ATTENTION, attention)


def use_attention(encoder: Any, name: str, attend: Callable[..., tuple[Tensor, None]]) -> None:
    """Let an encoder attend by a function of ours, under a name that transformers then knows; masks are those of torch's."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, sdpa_mask)
    encoder.set_attn_implementation(name)

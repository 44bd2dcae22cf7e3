"""Dropout and linear layers in less time on a CPU.

torch draws a dropout mask on the CPU one Bernoulli number at a time, and multiplies matrices with MKL where oneDNN is
faster for the shapes of an encoder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

STEPS = 1 << 16
"""Values that a mask's random number can take: a probability is rounded to 1/65536, and the scale with it."""

# torch types neither its operators nor Function.apply: hence the ignored types below.


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
    """x Wᵀ + b by oneDNN, x (N, I), and so the gradient of x; that of W is faster by MKL. Differentiable more than once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        of_x = _Linear.apply(grad, weight.t(), None) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = grad.t() @ x if ctx.needs_input_grad[1] else None
        return of_x, of_weight, grad.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """nn.Linear by oneDNN while it trains in fp32 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        fits = input.dtype == self.weight.dtype == torch.float32 and input.device.type == "cpu" and input.numel() > 0
        if not self.training or not fits or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        # A Function whose output is a view of what it made refuses to be changed in place, as Longformer and
        # DeBERTa do with their queries: so it is given two dimensions, and autograd makes the view.
        flat = _Linear.apply(input.reshape(-1, input.shape[-1]), self.weight, self.bias)  # type: ignore[no-untyped-call]
        return flat.view(*input.shape[:-1], -1)  # type: ignore[no-any-return]

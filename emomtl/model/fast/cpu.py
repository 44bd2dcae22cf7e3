"""Faster training on a CPU with the same updates: kernels, and no computation that nobody reads.

What each part saves is measured in docs/performance.md. Scoring is left as it is, so that a score
does not depend on who computes it; on CUDA nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emomtl.errors import clean
from emomtl.model.device import to_device
from emomtl.model.fast.attention import use_attention
from emomtl.model.fast.first_token import read_first_token
from emomtl.model.fast.word_gradient import keep_gradient
from emomtl.model.probe import FAILURES, random_texts

if TYPE_CHECKING:
    from emomtl.model.loaded import LoadedEncoder
    from emomtl.model.network import MultiTaskModel

ATTENTION = "emomtl_cpu"
"""The name under which transformers knows `attend`."""

STEPS = 1 << 16
"""Values of a dropout mask's random numbers: a probability is rounded to 1/65536."""

# torch types neither its operators nor Function.apply: hence the ignored types below.


class _Masked(torch.autograd.Function):
    """x times a mask that is 0 with probability p, and else 1 / (1 - p)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        # `kept` of the 65,536 values keep a number: so p is rounded, and 1 / (1 - p) with it
        kept = min(max(round((1.0 - p) * STEPS), 1), STEPS)
        count = x.numel()
        # one random 64-bit integer gives four of 16 bits, which torch draws faster than Bernoulli's
        draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        uniform = draws.view(torch.int16)[:count].view(x.shape)
        keep = uniform < kept - STEPS // 2 if kept < STEPS else torch.ones(x.shape).bool()
        mask = keep.to(x.dtype).mul_(STEPS / kept)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.saved_tensors[0], None


def masked(x: Tensor, p: float) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014) of a CPU tensor of any shape; its mean is exact."""
    return _Masked.apply(x, p)  # type: ignore[no-any-return, no-untyped-call]


class Dropout(nn.Dropout):
    """nn.Dropout with 16 random bits a value; torch draws a mask one Bernoulli number at a time."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0.0 < self.p < 1.0 or input.device.type != "cpu":
            return super().forward(input)
        return masked(input, self.p)


class _Linear(torch.autograd.Function):
    """y = x Wᵀ + b and the gradient of x by oneDNN; the gradient of W, faster, by MKL.

    x is (N, I), W (O, I), b (O,). The gradient of x is differentiable in turn.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        multiply = torch.ops.mkldnn._linear_pointwise
        return multiply(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad, of_x, of_weight = grads[0], None, None
        if ctx.needs_input_grad[0]:  # dL/dx = dL/dy W
            of_x = _Linear.apply(grad, weight.t(), None)  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:  # dL/dW = (dL/dy)ᵀ x
            of_weight = grad.t() @ x
        return of_x, of_weight, grad.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """nn.Linear by oneDNN while it trains in fp32 on a CPU, faster for the shapes of encoders."""

    def forward(self, input: Tensor) -> Tensor:
        is_fp32 = input.dtype == self.weight.dtype == torch.float32
        fits = is_fp32 and input.device.type == "cpu" and input.numel() > 0
        if not self.training or not fits or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        # A Function whose output is a view of what it made refuses to be changed in place, as
        # Longformer and DeBERTa do with their queries: so it is given two dimensions, and autograd
        # makes the view.
        rows = input.reshape(-1, input.shape[-1])
        flat = _Linear.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return flat.view(*input.shape[:-1], -1)  # type: ignore[no-any-return]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with dropout, (B, H, T, D) each -> (B, T, H, D).

    softmax(s Q Kᵀ + mask) V with dropout on the softmax (Vaswani et al. 2017, equation 1); s is
    1 / √D unless `options` has another. torch's fused kernel for the CPU has no dropout, and its
    fallback copies and draws slowly. A query that is one token's, repeated (`first_token`), is
    computed once. What it does not know (no dropout, grouped keys, causal masks, other devices) is
    left to transformers' implementation.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    dropout = options.get("dropout") or 0.0
    causal = options.get("is_causal", getattr(module, "is_causal", False))
    is_known = 0.0 < dropout < 1.0 and not causal and key.shape == query.shape
    if not is_known or query.device.type != "cpu":
        attended: tuple[Tensor, None]
        attended = sdpa(module, query, key, value, attention_mask, **options)
        return attended
    scale, length = options.get("scaling"), query.shape[-2]
    if query.stride(-2) == 0:
        query = query[..., :1, :]
        attention_mask = None if attention_mask is None else attention_mask[..., :1, :]
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = masked(scores.softmax(dim=-1), dropout)
    output = (weights @ value).transpose(1, 2).contiguous()
    return output.expand(-1, length, -1, -1), None


def use_cpu_kernels(
    model: nn.Module, encoder: Any, attempt: Callable[[], Tensor] | None = None
) -> str:
    """Let a model that trains on the CPU use these layers, in place, and `attend`.

    Attention is replaced where the encoder uses torch's. `attempt` is a forward pass of the encoder
    on a few texts; it and its backward pass are tried. Where that fails, torch's own layers are put
    back, and the returned text says why; else it is empty.
    """
    kernels: dict[type[nn.Module], type[nn.Module]] = {nn.Dropout: Dropout}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        kernels[nn.Linear] = Linear
    replaced = [(module, type(module)) for module in model.modules() if type(module) in kernels]
    for module, kind in replaced:
        module.__class__ = kernels[kind]
    before = getattr(encoder.config, "_attn_implementation", None)
    if before == "sdpa":
        use_attention(encoder, ATTENTION, attend)
    failure = "" if attempt is None else _failure(model, attempt)
    if not failure:
        return ""
    for module, kind in replaced:
        module.__class__ = kind
    if before == "sdpa":
        encoder.set_attn_implementation(before)
    return f"texts train with torch's own layers, as ours do not fit this encoder ({failure})"


def try_cpu_kernels(
    model: MultiTaskModel, encoder: LoadedEncoder, task: str, max_tokens: int
) -> list[str]:
    """`use_cpu_kernels`, tried on two short texts as the encoder reads them for a task."""
    texts = to_device(random_texts(encoder, (min(8, max_tokens), 2)), "cpu")
    note = use_cpu_kernels(model, encoder.module, lambda: model.encode(texts, task))
    return [note] if note else []


def _failure(model: nn.Module, attempt: Callable[[], Tensor]) -> str:
    """How a forward and a backward pass in training fail; empty where they do not.

    They leave no gradients, and the random generator as it was.
    """
    training = model.training
    model.train()
    try:
        with torch.random.fork_rng(devices=[]):
            states = attempt()
            if states.requires_grad:
                states.sum().backward()  # type: ignore[no-untyped-call]  # torch does not type it
    except FAILURES as error:
        return clean((str(error).strip() or type(error).__name__).splitlines()[0], 120)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)
    return ""


def skip_unread(model: MultiTaskModel, *, first_token: bool, word_gradient: bool) -> None:
    """Skip computation whose result nobody reads, in a model that trains on the CPU.

    The last layer is computed for the first token alone where texts are read from it: no head reads
    tokens, and no layer but the last is read. The gradient of the word embedding is kept from step
    to step. `first_token` says that the encoder is as it was published and sees padded texts,
    `word_gradient` that the step's gradient is made by `backward` alone, in one process.
    """
    reads_first = model.pooling in ("cls", "pooler") and model.layers.number == 1
    if first_token and reads_first and model.vocabulary is None:
        model.first_token = read_first_token(model.encoder)
    if word_gradient:
        keep_gradient(model.encoder)

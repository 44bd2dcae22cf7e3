"""The same updates in less time, for training on a CPU: lean layers, and nothing computed that nobody reads.

What each part saves is measured in docs/performance.md. Scoring is left as it is, so that a score does not depend on who
computes it; on CUDA nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emomtl.errors import clean
from emomtl.model.device import to_device
from emomtl.model.fast.attention import use_attention
from emomtl.model.fast.lean.attention import ATTENTION, attend
from emomtl.model.fast.lean.first_token import read_first_token
from emomtl.model.fast.lean.layers import Dropout, Linear
from emomtl.model.fast.lean.word_gradient import keep_gradient
from emomtl.model.probe import random_texts

if TYPE_CHECKING:
    from emomtl.model.loaded import LoadedEncoder
    from emomtl.model.network import MultiTaskModel

__all__ = ["make_lean", "spare", "try_lean"]


def make_lean(model: nn.Module, encoder: Any, attempt: Callable[[], Tensor] | None = None) -> str:
    """Let a model that trains on the CPU use what is here: the layers in place, and attention where its encoder uses torch's.

    `attempt` is a forward pass of the encoder on a few texts; it and its backward pass are tried. Where that fails, torch's
    own layers are put back, and what is returned says why.
    """
    ours: dict[type[nn.Module], type[nn.Module]] = {nn.Dropout: Dropout}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ours[nn.Linear] = Linear
    replaced = [(module, type(module)) for module in model.modules() if type(module) in ours]
    for module, kind in replaced:
        module.__class__ = ours[kind]
    before = getattr(encoder.config, "_attn_implementation", None)
    if before == "sdpa":
        use_attention(encoder, ATTENTION, attend)
    why = "" if attempt is None else _failure(model, attempt)
    if not why:
        return ""
    for module, kind in replaced:
        module.__class__ = kind
    if before == "sdpa":
        encoder.set_attn_implementation(before)
    return f"texts train with torch's own layers, as ours do not fit this encoder ({why})"


def try_lean(model: MultiTaskModel, encoder: LoadedEncoder, task: str, max_tokens: int) -> list[str]:
    """`make_lean`, tried on two short texts as the encoder reads them for a task; what there is to say of it."""
    texts = to_device(random_texts(encoder, (min(8, max_tokens), 2)), "cpu")
    why = make_lean(model, encoder.module, lambda: model.encode(texts, task))
    return [why] if why else []


def _failure(model: nn.Module, attempt: Callable[[], Tensor]) -> str:
    """How a forward and a backward pass in training fail, in words; they leave no gradients, and draw no random numbers."""
    training = model.training
    model.train()
    try:
        with torch.random.fork_rng(devices=[]):
            states = attempt()
            if states.requires_grad:
                states.sum().backward()  # type: ignore[no-untyped-call]  # torch does not type it
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        return clean((str(error).strip() or type(error).__name__).splitlines()[0], 120)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)
    return ""


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

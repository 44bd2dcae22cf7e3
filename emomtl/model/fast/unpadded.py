"""Training without padding: all texts of a step stand in one sequence, each attends to itself.

Meant for CUDA, where it saves the arithmetic of padding, and joins the micro-batches of several
corpora in one pass of the encoder. The attention is torch's own over jagged nested tensors, which
keeps dropout. Before it is used it is compared with the padded path on the device itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.architectures import architecture_of, first_position
from emomtl.model.device import arithmetic, to_device
from emomtl.model.fast.attention import use_attention

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTENTION = "emomtl_unpadded"
"""The name under which transformers knows this attention."""

TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
"""How far the two paths may differ, as a part of the states' deviation (TF32 counts as fp32)."""


@dataclass(frozen=True)
class Packing:
    """Texts of several batches in one sequence of N tokens, and the shapes of the batches.

    `arrays` has `input_ids`, `position_ids` and `token_type_ids` (1, N), the bounds of the texts
    (`offsets`), and the place of each token in its flattened batch (`places`, (N,)). `shapes` are
    (B, T), `tokens` the numbers of real tokens of each batch.
    """

    arrays: Mapping[str, NDArray[np.int64]]
    shapes: Sequence[tuple[int, int]]
    tokens: Sequence[int]
    longest: int


@dataclass(frozen=True)
class Output:
    """What an encoder gives for one batch, padded again with zeros; names are transformers'."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    pooler_output: Tensor | None


def pack(batches: Sequence[Mapping[str, NDArray[Any]]], first_position: int) -> Packing:
    """Join padded batches, in each text of which the real tokens come first."""
    masks = [batch["attention_mask"].astype(bool) for batch in batches]
    lengths = np.concatenate([mask.sum(axis=1) for mask in masks])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def joined(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        real = [array[mask] for array, mask in zip(values, masks, strict=True)]
        return np.concatenate(real)[None]

    # the number of a token in its text: its place in the sequence less that of the text's start
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + first_position
    arrays = {
        "input_ids": joined([batch["input_ids"] for batch in batches]),
        "position_ids": positions[None],
        "offsets": offsets,
        "places": np.concatenate([np.flatnonzero(mask) for mask in masks]),
    }
    if any("token_type_ids" in batch for batch in batches):
        zeros = [np.zeros_like(batch["input_ids"]) for batch in batches]
        pairs = zip(batches, zeros, strict=True)
        arrays["token_type_ids"] = joined([b.get("token_type_ids", zero) for b, zero in pairs])
    shapes = [mask.shape for mask in masks]
    return Packing(arrays, shapes, [int(mask.sum()) for mask in masks], int(lengths.max()))


@dataclass(frozen=True)
class Unpadded:
    """The path without padding through one encoder, on one device."""

    encoder: Any
    device: str
    first_position: int

    def outputs(
        self, batches: Sequence[Mapping[str, NDArray[Any]]], options: Mapping[str, Any]
    ) -> list[Output]:
        """What the encoder gives for each batch, from one pass over all of them.

        `options` are what it is asked for beside its last layer.
        """
        packing = pack(batches, self.first_position)
        tensors = to_device(packing.arrays, self.device)
        counts = list(packing.tokens)
        offsets, places = tensors.pop("offsets"), tensors.pop("places").split(counts)
        output = self.encoder(
            **tensors,
            cu_seq_lens_q=offsets,
            cu_seq_lens_k=offsets,
            max_length_q=packing.longest,
            max_length_k=packing.longest,
            **options,
        )

        def padded(states: Tensor) -> list[Tensor]:
            batched = []
            parts = torch.split(states[0], counts)
            for part, place, (b, t) in zip(parts, places, packing.shapes, strict=True):
                zeros = states.new_zeros(b * t, part.shape[-1])
                batched.append(zeros.index_copy(0, place, part).view(b, t, -1))
            return batched

        last = padded(output.last_hidden_state)
        hidden: list[Any] = [None] * len(batches)
        if output.hidden_states is not None:
            hidden = list(zip(*map(padded, output.hidden_states), strict=True))
        pooler = getattr(self.encoder, "pooler", None)
        pooled = [None if pooler is None else pooler(states) for states in last]
        return [Output(*of_batch) for of_batch in zip(last, hidden, pooled, strict=True)]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention of each text on itself, (1, H, N, D) each -> (1, N, H, D).

    On CUDA one kernel computes all texts; elsewhere it goes text by text, for comparison only.
    Padded batches are computed by transformers.
    """
    offsets = options.get("cu_seq_lens_q")
    if offsets is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

        padded: tuple[Tensor, None]
        padded = sdpa(module, query, key, value, attention_mask, **options)
        return padded
    how: dict[str, Any] = {
        "dropout_p": options.get("dropout") or 0.0,
        "scale": options.get("scaling"),
    }
    attend = nn.functional.scaled_dot_product_attention
    if query.device.type == "cuda":
        nested = []
        for states in (query, key, value):
            flat = states[0].transpose(0, 1).contiguous()
            jagged = torch.nested.nested_tensor_from_jagged(
                flat, offsets, min_seqlen=1, max_seqlen=options["max_length_q"]
            )
            nested.append(jagged.transpose(1, 2))
        q, k, v = nested
        return attend(q, k, v, **how).transpose(1, 2).values()[None], None
    lengths = offsets.diff().tolist()
    texts = zip(
        *(torch.split(states, lengths, dim=2) for states in (query, key, value)), strict=True
    )
    attended = torch.cat([attend(q, k, v, **how) for q, k, v in texts], dim=2)
    return attended.transpose(1, 2), None


def choose_unpadded(
    wanted: str, encoder: Any, device: str, precision: str, changed: bool
) -> tuple[Unpadded | None, str]:
    """The path without padding where it is wanted and gives what the padded path gives.

    `auto` wants it on CUDA alone. Where it is not used, a note says why, and is an error with `on`.
    `changed` says that the encoder's layers were changed.
    """
    if wanted == "off" or (wanted == "auto" and device != "cuda"):
        return None, ""
    architecture = architecture_of(encoder.config)
    before = getattr(encoder.config, "_attn_implementation", "")
    if architecture.no_unpadded:
        reason = f"the type '{clean(str(encoder.config.model_type))}': {architecture.no_unpadded}"
    elif changed:
        reason = "the encoder has changes of its layers"
    else:
        unpadded = Unpadded(encoder, device, first_position(encoder.config))
        use_attention(encoder, ATTENTION, attention)
        reason = _difference(unpadded, precision)
        if not reason:
            return unpadded, ""
        encoder.set_attn_implementation(before)
    if wanted == "on":
        finding = f"texts cannot be trained without padding: {reason}"
        raise EmomtlError(Problem("train.unpadded", finding, '"auto" or "off"'))
    return None, f"texts are padded: {reason}"


def _difference(unpadded: Unpadded, precision: str) -> str:
    """In words, how the path differs from the padded one on two small batches; else empty."""
    encoder, device = unpadded.encoder, unpadded.device
    pad, words = int(encoder.config.pad_token_id or 0), encoder.get_input_embeddings()
    draw = np.random.default_rng(0)
    batches, masks = [], []
    for lengths in ((7, 2, 5), (4, 11)):
        mask = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
        ids = np.where(mask, draw.integers(pad + 1, int(words.num_embeddings), mask.shape), pad)
        batches.append({"input_ids": ids, "attention_mask": mask.astype(np.int64)})
        masks.append(torch.from_numpy(mask))

    def real(outputs: Sequence[Any]) -> Tensor:
        """The states (N, W) of the real tokens of both batches."""
        states = [output.last_hidden_state.float().cpu() for output in outputs]
        return torch.cat([batch[mask] for batch, mask in zip(states, masks, strict=True)])

    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad(), arithmetic(device, precision):
            ours = real(unpadded.outputs(batches, {}))
            padded = real([encoder(**to_device(batch, device)) for batch in batches])
        distance = float((ours - padded).abs().max() / padded.std())
    # what kernels and models raise where they cannot
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        first_line = clean(str(error).splitlines()[0], 120)
        return f"it failed ({type(error).__name__}: {first_line})"
    finally:
        encoder.train(training)
    if distance <= TOLERANCE[precision]:
        return ""
    return f"it differs from the padded path by {distance:.2g} of the states' deviation"

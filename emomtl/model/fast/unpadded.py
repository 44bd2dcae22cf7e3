"""Training without padding: the texts of all micro-batches of a step stand in one sequence, and each attends to itself alone.

Meant for CUDA, where it saves the arithmetic of padding and joins corpora in one pass of the encoder. The attention is torch's
own over jagged nested tensors, which keeps dropout. Before it is used it is held against the padded path on the device itself.
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

CLOSE = {"fp32": 1e-3, "bf16": 5e-2}
"""How far the two paths may differ on a few texts, as a part of the states' standard deviation (TF32 counts as fp32)."""


@dataclass(frozen=True)
class Packing:
    """Texts of several batches behind one another: N tokens in all, and where they stand in the batches, (B, T) each.

    `arrays` has `input_ids`, `position_ids` and `token_type_ids` (1, N), the bounds of the texts (`offsets`), and the place of
    each token in its batch, flattened (`places`, (N,)).
    """

    arrays: Mapping[str, NDArray[np.int64]]
    shapes: Sequence[tuple[int, int]]
    tokens: Sequence[int]
    longest: int


@dataclass(frozen=True)
class Output:
    """What an encoder gives for one batch, padded again with zeros: as transformers names it."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    pooler_output: Tensor | None


def pack(batches: Sequence[Mapping[str, NDArray[Any]]], first_position: int) -> Packing:
    """Join padded batches, of which each text's real tokens come first."""
    masks = [batch["attention_mask"].astype(bool) for batch in batches]
    lengths = np.concatenate([mask.sum(axis=1) for mask in masks])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays = {
        "input_ids": np.concatenate([batch["input_ids"][mask] for batch, mask in zip(batches, masks, strict=True)])[None],
        "position_ids": (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + first_position)[None],
        "offsets": offsets,
        "places": np.concatenate([np.flatnonzero(mask) for mask in masks]),
    }
    if any("token_type_ids" in batch for batch in batches):
        types = (batch.get("token_type_ids", np.zeros_like(batch["input_ids"])) for batch in batches)
        arrays["token_type_ids"] = np.concatenate([one[mask] for one, mask in zip(types, masks, strict=True)])[None]
    return Packing(arrays, [mask.shape for mask in masks], [int(mask.sum()) for mask in masks], int(lengths.max()))


@dataclass(frozen=True)
class Unpadded:
    """The path without padding through one encoder, on one device."""

    encoder: Any
    device: str
    first_position: int

    def outputs(self, batches: Sequence[Mapping[str, NDArray[Any]]], asked: Mapping[str, Any]) -> list[Output]:
        """One pass of the encoder over all batches; what it gives for each of them."""
        packing = pack(batches, self.first_position)
        tensors = to_device(packing.arrays, self.device)
        offsets, places = tensors.pop("offsets"), tensors.pop("places").split(list(packing.tokens))
        bounds = {"cu_seq_lens_q": offsets, "cu_seq_lens_k": offsets}
        bounds |= {"max_length_q": packing.longest, "max_length_k": packing.longest}
        output = self.encoder(**tensors, **bounds, **asked)

        def padded(states: Tensor) -> list[Tensor]:
            parts = zip(torch.split(states[0], list(packing.tokens)), places, packing.shapes, strict=True)
            empty = states.new_zeros
            return [empty(b * t, part.shape[-1]).index_copy(0, at, part).view(b, t, -1) for part, at, (b, t) in parts]

        last = padded(output.last_hidden_state)
        hidden = None if output.hidden_states is None else list(zip(*map(padded, output.hidden_states), strict=True))
        pooler = getattr(self.encoder, "pooler", None)
        return [
            Output(states, None if hidden is None else hidden[number], None if pooler is None else pooler(states))
            for number, states in enumerate(last)
        ]


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention of each text on itself, (1, H, N, D) each -> (1, N, H, D); padded batches go torch's way.

    On CUDA by one kernel over all texts; elsewhere text by text, which is there to be held against.
    """
    offsets = options.get("cu_seq_lens_q")
    if offsets is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward  # untyped, as all of transformers

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    given: dict[str, Any] = {"dropout_p": options.get("dropout") or 0.0, "scale": options.get("scaling")}
    attend = nn.functional.scaled_dot_product_attention
    if query.device.type == "cuda":
        most: dict[str, Any] = {"min_seqlen": 1, "max_seqlen": options["max_length_q"]}
        flat = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))
        q, k, v = (torch.nested.nested_tensor_from_jagged(states, offsets, **most).transpose(1, 2) for states in flat)
        return attend(q, k, v, **given).transpose(1, 2).values()[None], None
    lengths = offsets.diff().tolist()
    texts = zip(*(torch.split(states, lengths, dim=2) for states in (query, key, value)), strict=True)
    return torch.cat([attend(q, k, v, **given) for q, k, v in texts], dim=2).transpose(1, 2), None


def choose_unpadded(wanted: str, encoder: Any, device: str, precision: str, changed: bool) -> tuple[Unpadded | None, str]:
    """The path without padding, where it is wanted, known for the encoder, and gives what the padded one gives; and why not.

    `auto` wants it on CUDA alone; with `on`, an encoder for which it is not known or goes wrong is an error.
    """
    if wanted == "off" or (wanted == "auto" and device != "cuda"):
        return None, ""
    architecture = architecture_of(encoder.config)
    before = getattr(encoder.config, "_attn_implementation", "")
    if architecture.no_unpadded:
        why = f"the type '{clean(str(encoder.config.model_type))}': {architecture.no_unpadded}"
    elif changed:
        why = "the encoder has changes of its layers"
    else:
        made = Unpadded(encoder, device, first_position(encoder.config))
        use_attention(encoder, ATTENTION, attention)
        why = _differs(made, precision)
        if not why:
            return made, ""
        encoder.set_attn_implementation(before)
    if wanted == "on":
        raise EmomtlError(Problem("train.unpadded", f"texts cannot be trained without padding: {why}", '"auto" or "off"'))
    return None, f"texts are padded: {why}"


def _differs(made: Unpadded, precision: str) -> str:
    """In words, how the path differs from the padded one on two batches of a few tokens; empty where it does not."""
    draw, most = np.random.default_rng(0), int(made.encoder.get_input_embeddings().num_embeddings)
    batches = []
    for lengths in ((7, 2, 5), (4, 11)):
        mask = (np.arange(max(lengths)) < np.asarray(lengths)[:, None]).astype(np.int64)
        pad = int(made.encoder.config.pad_token_id or 0)
        batches.append({"input_ids": np.where(mask == 1, draw.integers(pad + 1, most, mask.shape), pad), "attention_mask": mask})
    training = made.encoder.training
    made.encoder.eval()
    try:
        with torch.no_grad(), arithmetic(made.device, precision):
            found = [output.last_hidden_state.float() for output in made.outputs(batches, {})]
            wanted = [made.encoder(**to_device(batch, made.device)).last_hidden_state.float() for batch in batches]
        masks = [torch.from_numpy(batch["attention_mask"]).bool() for batch in batches]
        left, right = (
            torch.cat([one.cpu()[mask] for one, mask in zip(states, masks, strict=True)]) for states in (found, wanted)
        )
        far = float((left - right).abs().max() / right.std())
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:  # what kernels and models say where they cannot
        return f"it failed ({type(error).__name__}: {clean(str(error).splitlines()[0], 120)})"
    finally:
        made.encoder.train(training)
    return "" if far <= CLOSE[precision] else f"it differs from the padded path by {far:.2g} of the states' deviation"

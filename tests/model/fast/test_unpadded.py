"""Texts without padding give what padded ones give: states, gradients, and whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emomtl import EmomtlError
from emomtl.model.fast.unpadded import ATTENTION, choose_unpadded, pack

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def encoder(kind: str) -> Any:
    """A small encoder of an architecture, without dropout."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(5)
    return AutoModel.from_config(AutoConfig.for_model(kind, pad_token_id=1, **SIZES))


def batch(
    lengths: tuple[int, ...], seed: int, typed: bool = False
) -> dict[str, np.ndarray[Any, Any]]:
    draw, most = np.random.default_rng(seed), max(lengths)
    mask = (np.arange(most) < np.asarray(lengths)[:, None]).astype(np.int64)
    made = {
        "input_ids": np.where(mask == 1, draw.integers(2, 60, mask.shape), 1),
        "attention_mask": mask,
    }
    return made | ({"token_type_ids": draw.integers(0, 2, mask.shape) * mask} if typed else {})


def tensors(inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


@pytest.mark.parametrize("kind", ["bert", "electra", "roberta", "xlm-roberta", "camembert"])
def test_states_and_gradients_are_those_of_the_padded_path(kind: str) -> None:
    model = encoder(kind).train()
    typed = kind in ("bert", "electra")
    batches = [batch((7, 1, 4), 1, typed), batch((2, 9), 2), batch((5,), 3)]
    wanted = [model(**tensors(one), output_hidden_states=True) for one in batches]
    weights = [torch.randn_like(one.last_hidden_state) for one in wanted]

    def gradients(outputs: Any) -> list[torch.Tensor]:
        real = [torch.from_numpy(one["attention_mask"])[..., None] for one in batches]
        pooled = sum(
            one.pooler_output.sum()
            for one in outputs
            if getattr(one, "pooler_output", None) is not None
        )
        total = sum(
            (one.last_hidden_state * w * m).sum()
            for one, w, m in zip(outputs, weights, real, strict=True)
        )
        model.zero_grad()
        (total + pooled).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    by_padding = gradients(wanted)
    unpadded, why = choose_unpadded("on", model, "cpu", "fp32", changed=False)
    assert (model.config._attn_implementation, why) == (ATTENTION, "")
    assert unpadded is not None
    found = unpadded.outputs(batches, {"output_hidden_states": True})
    for one, other, inputs in zip(found, wanted, batches, strict=True):
        real = torch.from_numpy(inputs["attention_mask"]).bool()
        assert one.last_hidden_state.shape == other.last_hidden_state.shape
        assert not one.last_hidden_state[~real].any()
        assert one.hidden_states is not None
        for left, right in zip(one.hidden_states, other.hidden_states, strict=True):
            torch.testing.assert_close(left[real], right[real], rtol=1e-4, atol=1e-5)
    for left, right in zip(gradients(found), by_padding, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


def test_texts_do_not_see_one_another() -> None:
    model = encoder("bert").eval()
    unpadded, _ = choose_unpadded("on", model, "cpu", "fp32", changed=False)
    assert unpadded is not None
    alone = unpadded.outputs([batch((4,), 1)], {})[0].last_hidden_state
    beside = unpadded.outputs([batch((9, 3), 2), batch((4,), 1)], {})[1].last_hidden_state
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-6)


def test_packing_counts_positions_anew_in_every_text() -> None:
    packing = pack([batch((3, 1), 1), batch((2,), 2)], first_position=2)
    assert packing.arrays["position_ids"].tolist() == [[2, 3, 4, 2, 2, 3]]
    assert packing.arrays["offsets"].tolist() == [0, 3, 4, 6]
    assert packing.arrays["places"].tolist() == [0, 1, 2, 3, 0, 1]
    assert (packing.shapes, packing.tokens, packing.longest) == ([(2, 3), (1, 2)], [4, 2], 3)


def test_unknown_or_failing_encoders_are_padded_or_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = encoder("bert")
    before = model.config._attn_implementation
    assert choose_unpadded("off", model, "cuda", "fp32", changed=False) == (None, "")
    assert choose_unpadded("auto", model, "cpu", "fp32", changed=False) == (None, "")
    with pytest.raises(EmomtlError, match="has changes of its layers"):
        choose_unpadded("on", model, "cpu", "fp32", changed=True)
    monkeypatch.setattr("emomtl.model.fast.unpadded.first_position", lambda config: 1)
    with pytest.raises(EmomtlError, match="differs from the padded path by"):
        choose_unpadded("on", model, "cpu", "fp32", changed=False)
    monkeypatch.setattr("emomtl.model.fast.unpadded.first_position", lambda config: 100)
    with pytest.raises(EmomtlError, match="it failed"):
        choose_unpadded("on", model, "cpu", "fp32", changed=False)
    assert model.config._attn_implementation == before
    monkeypatch.setattr("emomtl.model.architectures.ARCHITECTURES", {})
    assert choose_unpadded("auto", model, "cuda", "fp32", changed=False) == (
        None,
        "texts are padded: the type 'bert': it is not known",
    )


@pytest.mark.parametrize("per_step", ["one", "all"])
def test_an_unpadded_run_is_the_padded_one_up_to_rounding(desk: Any, per_step: str) -> None:
    def weights(unpadded: str) -> dict[str, torch.Tensor]:
        manifest = desk.manifest(
            encoder={"dropout": 0.0},
            sampler={"use": "uniform", "per_step": per_step},
            train={"steps": 8, "accumulate": 2, "unpadded": unpadded},
        )
        run = desk.train(manifest, unpadded)
        from emomtl.run import find_checkpoint, open_checkpoint

        found: dict[str, torch.Tensor] = open_checkpoint(find_checkpoint(run, "last")).tensors(
            "model"
        )
        return found

    padded, unpadded = weights("off"), weights("on")
    for name, tensor in padded.items():
        torch.testing.assert_close(unpadded[name], tensor, rtol=1e-3, atol=2e-5, msg=name)


def test_unpadded_training_of_a_changed_encoder_is_refused(
    desk: Any, cli: Any, tmp_path: Path
) -> None:
    manifest = desk.manifest(
        encoder={"changes": [{"use": "frozen", "layers": 1}]}, train={"unpadded": "on"}
    )
    said = cli("train", manifest, "--out", tmp_path / "run")
    assert said.code == 1
    assert "train.unpadded: texts cannot be trained without padding" in said.err

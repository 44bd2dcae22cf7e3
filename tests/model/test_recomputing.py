"""Gradient checkpointing: the same gradients, bit for bit, from less memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl import EmomtlError
from emomtl.testing import tiny_encoder
from emomtl.train.step import draw_gradients, losses_of, moment_of

JOINT = {"use": "proportional", "per_step": "all"}


def gradients(desk: Any, out: str, layers: bool | int, **changes: Any) -> dict[str, torch.Tensor]:
    """The gradients of the first step, with dropout."""
    encoder = {"checkpoint_layers": layers, "dropout": 0.3, **changes.pop("encoder", {})}
    session = desk.begin(desk.manifest(encoder=encoder, sampler=JOINT, **changes), out)
    session.run.close()
    session.model.train()
    draw_gradients(session, moment_of(session))
    found = {
        name: p.grad.detach().clone()
        for name, p in session.model.named_parameters()
        if p.grad is not None
    }
    assert found
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


CASES: dict[str, dict[str, Any]] = {
    "plain": {"weighting": {"use": "equal"}},
    "cls": {"weighting": {"use": "equal"}, "encoder": {"pooling": "cls"}},
    "several layers read": {
        "weighting": {"use": "equal"},
        "encoder": {"layers": 2, "layers_by": "concat"},
    },
    "pals": {
        "weighting": {"use": "equal"},
        "encoder": {"changes": [{"use": "pals", "rank": 8, "heads": 2}]},
    },
    "frozen": {
        "weighting": {"use": "equal"},
        "encoder": {"changes": [{"use": "frozen", "layers": 1}]},
    },
    "lora": {"weighting": {"use": "equal"}, "encoder": {"changes": [{"use": "lora"}]}},
    "clipped by task": {"weighting": {"use": "equal"}, "train": {"clip_by": "task"}},
    "micro-batches": {"weighting": {"use": "uncertainty"}, "train": {"accumulate": 3}},
    "gradnorm": {"weighting": {"use": "gradnorm"}, "train": {"log_every": 1}},
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_same_bit_for_bit(desk: Any, case: str) -> None:
    plain = gradients(desk, "plain", False, **CASES[case])
    assert same(plain, gradients(desk, "again", True, **CASES[case]))
    assert same(plain, gradients(desk, "one", 1, **CASES[case]))


def test_torch_s_own_layers_and_unpadded_texts_are_recomputed_too(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["emomtl.train.start"], "try_cpu_kernels", lambda *_: [])
    for way in ("off", "on"):
        case: dict[str, Any] = {"weighting": {"use": "equal"}, "train": {"unpadded": way}}
        assert same(
            gradients(desk, f"plain-{way}", False, **case),
            gradients(desk, f"again-{way}", True, **case),
        )


def test_a_recomputed_run_has_the_weights_of_a_plain_one(desk: Any, contents: Any) -> None:
    runs = []
    for layers in (False, True):
        runs.append(
            desk.train(
                desk.manifest(encoder={"checkpoint_layers": layers, "dropout": 0.2}),
                f"run-{layers}",
            )
        )
    one, other = (contents(run, "last") for run in runs)
    assert one["tensors"] == other["tensors"]
    assert [entry["tasks"] for entry in one["scores"]] == [
        entry["tasks"] for entry in other["scores"]
    ]


def test_less_is_kept_for_the_backward_pass(desk: Any, tmp_path: Path) -> None:
    """Measured: bytes that a forward pass keeps, of an encoder of eight layers."""
    desk.encoder = deep_encoder(tmp_path / "deep")
    kept = {}
    for layers in (False, 4, True):
        session = desk.begin(
            desk.manifest(encoder={"checkpoint_layers": layers}, sampler=JOINT), f"deep-{layers}"
        )
        session.run.close()
        session.model.train()
        kept[layers] = _kept(session)
    assert kept[True] < 0.4 * kept[False]
    assert kept[True] < kept[4] < 0.8 * kept[False]


def deep_encoder(folder: Path) -> Path:
    """The tiny encoder with eight layers."""
    from transformers import BertConfig, BertModel

    tiny_encoder(folder)
    BertModel(BertConfig.from_pretrained(folder, num_hidden_layers=8)).save_pretrained(folder)
    return folder


def _kept(session: Any) -> int:
    """Bytes that a forward pass keeps for the backward pass; parameters are no part of them."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parts = session.feeder.draw(session.plan.sampler, moment_of(session), session.state).micro[0]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = losses_of(session, parts)
    assert losses
    own = {parameter.untyped_storage().data_ptr() for parameter in session.model.parameters()}
    return sum(size for place, size in sizes.items() if place not in own)


def test_more_layers_than_there_are_are_refused(desk: Any) -> None:
    with pytest.raises(
        EmomtlError, match=r"checkpoint_layers: 9 layers, and the encoder has \d+ .true for all"
    ):
        desk.begin(desk.manifest(encoder={"checkpoint_layers": 9}))


def test_scoring_and_what_a_run_keeps_know_nothing_of_it(desk: Any, cli: Any) -> None:
    run = desk.train(desk.manifest(encoder={"checkpoint_layers": True}))
    assert cli("eval", run.folder, "--json").code == 0
    assert cli("predict", run.folder, "so happy", "--json").code == 0

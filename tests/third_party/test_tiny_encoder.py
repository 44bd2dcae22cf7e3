"""The tiny encoder loads like a pretrained one, and a manifest trains with it in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emomtl import EmomtlError
from emomtl.model.encoder import load_encoder
from emomtl.model.loaded import EncoderChoice
from emomtl.testing import tiny_encoder, train_briefly

MANIFEST = """
name = "brief"
[encoder]
use = "minilm"
[tasks.demo]
[tasks.demo-sentiment]
[train]
epochs = 3
"""


def test_it_is_the_same_encoder_every_time(tmp_path: Path) -> None:
    first, second = tiny_encoder(tmp_path / "a"), tiny_encoder(tmp_path / "b" / "c")
    names = {path.name for path in first.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_it_loads_and_tells_texts_apart(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    folder = tiny_encoder(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    loaded = load_encoder(EncoderChoice("tiny", str(folder), None, "mean", 16), ["[NAME]"])
    assert loaded.width == 32
    ids = loaded.tokenizer(["I love my dog.", "Zyzzyva! [NAME]"])["input_ids"]
    assert loaded.tokenizer.convert_ids_to_tokens(ids[0]) == [
        "[CLS]",
        "i",
        "love",
        "my",
        "dog",
        ".",
        "[SEP]",
    ]
    assert loaded.tokenizer.unk_token_id not in ids[1]
    assert "[NAME]" in loaded.tokenizer.convert_ids_to_tokens(ids[1])


def test_a_manifest_trains_briefly_and_its_run_can_be_read(tmp_path: Path) -> None:
    manifest = tmp_path / "brief.toml"
    manifest.write_text(MANIFEST, encoding="utf-8")
    run = train_briefly(manifest, tmp_path / "out", steps=3, overrides=["train.lr=1e-3"])
    steps = [event for event in run.events() if event["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 2, 3]
    assert all(set(event["losses"]) == {"demo", "demo-sentiment"} for event in steps)
    assert run.manifest.train.lr == 1e-3
    assert [entry["which"] for entry in run.scores()] == ["last", "best"]


@pytest.mark.parametrize(
    ("right", "wrong", "remedy"),
    [("tasks.demo]", "tasks.dmo]", "'demo'"), ("epochs", "epoch", "'epochs'")],
)
def test_a_manifest_with_a_mistake_is_refused(
    tmp_path: Path, right: str, wrong: str, remedy: str
) -> None:
    manifest = tmp_path / "brief.toml"
    manifest.write_text(MANIFEST.replace(right, wrong), encoding="utf-8")
    with pytest.raises(EmomtlError, match=f"did you mean {remedy}"):
        train_briefly(manifest, tmp_path / "out")

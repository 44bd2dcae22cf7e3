"""What an encoder is tried for before it trains, through the commands that a user calls."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emomtl import EmomtlError
from emomtl.model.encoder import load_encoder
from emomtl.model.loaded import EncoderChoice
from emomtl.model.probe import probe


def changed_config(encoder: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the tiny encoder with another configuration."""
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize("step", [True, False])
def test_more_tokens_than_positions_are_refused_with_the_most(
    desk: Any, cli: Any, step: bool
) -> None:
    manifest = desk.manifest(encoder={"max_tokens": 129})
    for said in (
        cli("check", manifest, *([] if step else ["--no-step"])),
        cli("train", manifest, "--out", desk.folder / "new"),
    ):
        assert said.code == 1
        assert "encoder.max_tokens: 129 tokens, and " in said.err
        assert " has positions for 128 (at most 128)" in said.err
    assert not (desk.folder / "new").exists()
    assert cli("check", desk.manifest(encoder={"max_tokens": 128})).code == 0


def test_check_refuses_a_decoder_with_one_line(desk: Any, cli: Any) -> None:
    changed_config(desk.encoder, desk.folder / "decoder", is_decoder=True)
    for more in ([], ["--no-step"]):
        said = cli("check", desk.manifest(encoder={"use": "./decoder"}), *more)
        assert said.code == 1
        assert "'./decoder' is set up as a decoder" in said.err


def test_check_trains_and_scores_a_text_of_full_length(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.compose import compose_file
    from emomtl.model.network import MultiTaskModel
    from emomtl.plugins.discovery import Plugins
    from emomtl.train.cost import measure_cost

    seen: set[tuple[int, bool]] = set()
    encode = MultiTaskModel.encode

    def told(self: Any, inputs: dict[str, Tensor], *more: Any, **options: Any) -> Tensor:
        seen.add((inputs["input_ids"].shape[1], self.training))
        if inputs["input_ids"].shape[1] == 100 and self.training and failing:
            raise RuntimeError("no kernel for so long a text")
        return encode(self, inputs, *more, **options)

    monkeypatch.setattr(MultiTaskModel, "encode", told)
    plan = compose_file(desk.manifest(encoder={"max_tokens": 100}), [], Plugins.discover())
    failing = False
    measure_cost(plan)
    assert {(100, True), (100, False)} <= seen
    failing = True
    with pytest.raises(
        EmomtlError,
        match=(
            r"encoder\.max_tokens: a text of 100 tokens cannot be trained on: no kernel for so long"
        ),
    ):
        measure_cost(plan)


def test_failing_kernels_are_replaced_by_those_of_torch(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.model.fast import cpu

    class Broken(nn.Linear):
        """A layer of ours that an encoder does not go with."""

        def forward(self, input: Tensor) -> Tensor:
            raise RuntimeError("Output 0 of _Linear is a view and is being modified inplace")

    monkeypatch.setattr(cpu, "Linear", Broken)
    session = desk.begin(desk.manifest(train={"device": "cpu"}))
    session.run.close()
    (note,) = session.reporter.notes
    assert note.startswith(
        "texts train with torch's own layers, as ours do not fit this encoder (Output 0 of _Linear"
        " is a view"
    )
    assert f"note: {note}" in (session.run.folder / "log.txt").read_text()
    assert {type(m) for m in session.model.modules() if isinstance(m, (nn.Linear, nn.Dropout))} == {
        nn.Linear,
        nn.Dropout,
    }
    assert session.model.encoder.config._attn_implementation == "sdpa"


def test_a_frozen_encoder_keeps_our_layers(desk: Any) -> None:
    session = desk.begin(
        desk.manifest(
            encoder={"changes": [{"use": "frozen", "layers": 2}]}, train={"device": "cpu"}
        )
    )
    session.run.close()
    assert session.reporter.notes == []


def test_the_trial_draws_nothing_and_leaves_no_gradients(desk: Any) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    session = desk.begin(desk.manifest(train={"device": "cpu"}))
    session.run.close()
    assert torch.equal(torch.rand(1), wanted)
    assert all(parameter.grad is None for parameter in session.model.parameters())


def test_a_pooler_that_the_architecture_lacks_is_refused(encoder: Path, tmp_path: Path) -> None:
    from tests.model.test_architectures import ENCODERS, folder_of

    folder = folder_of("distilbert", ENCODERS["distilbert"], encoder, tmp_path / "distilbert")
    with pytest.raises(
        EmomtlError,
        match=r"encoder\.pooling: 'mine' has no pooler \(it is of the type 'distilbert'\)",
    ):
        load_encoder(EncoderChoice("mine", str(folder), None, "pooler", 16))


def test_texts_longer_than_in_pretraining_are_noted(encoder: Path, tmp_path: Path) -> None:
    from tests.model.test_architectures import ENCODERS, folder_of

    folder = folder_of("modernbert", ENCODERS["modernbert"], encoder, tmp_path / "modernbert")
    given = EncoderChoice("mine", str(folder), None, "mean", 50)
    found = "encoder 'mine': max_tokens is 50, and its configuration says that it was trained on 40"
    assert probe(load_encoder(given), given) == (found,)


@pytest.mark.parametrize("place", ["behind", "nowhere"])
def test_cls_pooling_needs_a_tokenizer_with_a_first_token(
    encoder: Path, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(encoder, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"]["single"] = [sequence, special] if place == "behind" else [sequence]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    for pooling in ("mean", "cls"):
        given = EncoderChoice("mine", str(folder), None, pooling, 16)
        loaded = load_encoder(given)
        if pooling == "mean":
            assert probe(loaded, given) == ()
        elif place == "behind":
            with pytest.raises(
                EmomtlError,
                match=(
                    r"encoder\.pooling: .*puts its \[CLS\] behind the text \(pooling = \"mean\"\)"
                ),
            ):
                probe(loaded, given)
        else:
            (note,) = probe(loaded, given)
            assert note.startswith(
                "encoder 'mine': pooling = \"cls\" reads the first word of a text"
            )


@pytest.mark.parametrize("lacking", ["sentencepiece", "google.protobuf"])
def test_a_tokenizer_of_sentencepiece_alone_names_both_packages(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    from emomtl.model import encoder as module

    folder = tmp_path / "deberta"
    shutil.copytree(encoder, folder)
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"\x0a\x0e")
    monkeypatch.setattr(module, "_installed", lambda name: name != lacking)
    with pytest.raises(EmomtlError) as caught:
        load_encoder(EncoderChoice("mine", str(folder), None, "mean", 16))
    (problem,) = caught.value.problems
    package = "protobuf" if "." in lacking else lacking
    assert (
        problem.found
        == f"'mine' has its tokenizer as spm.model alone, which takes {package} to read, not"
        " installed here"
    )
    assert "pip install sentencepiece protobuf" in problem.remedy

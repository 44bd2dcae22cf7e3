"""No tensor of a pretrained encoder is left random without a word: wrappers are stripped, what
lacks is counted and named.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from emomtl import EmomtlError
from emomtl.model.encoder import load_encoder
from emomtl.model.loaded import EncoderChoice, LoadedEncoder

Weights = dict[str, Tensor]


def choice(folder: Path, pooling: str = "mean") -> EncoderChoice:
    return EncoderChoice("mine", str(folder), None, pooling, 16)


def changed(encoder: Path, folder: Path, change: Callable[[Weights], Mapping[str, Tensor]]) -> Path:
    """A copy of the tiny encoder whose file of weights was changed."""
    shutil.copytree(encoder, folder)
    file = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file(
        {name: tensor.contiguous() for name, tensor in change(weights).items()},
        file,
        {"format": "pt"},
    )
    return folder


def renamed(rename: Callable[[str], str]) -> Callable[[Weights], Weights]:
    return lambda weights: {rename(name): tensor for name, tensor in weights.items()}


def state(loaded: LoadedEncoder) -> Weights:
    return dict(loaded.module.state_dict())


def fault(folder: Path, pooling: str = "mean") -> str:
    with pytest.raises(EmomtlError) as caught:
        load_encoder(choice(folder, pooling))
    assert [problem.place for problem in caught.value.problems] == ["encoder.use"] * len(
        caught.value.problems
    )
    assert all(problem.remedy for problem in caught.value.problems)
    return "\n".join(problem.found for problem in caught.value.problems)


WRAPPERS: dict[str, Callable[[str], str]] = {
    "module.": lambda name: f"module.{name}",
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "encoder.": lambda name: f"encoder.{name}",
    "0.auto_model.": lambda name: f"0.auto_model.{name}",
    "module.bert.": lambda name: f"module.bert.{name}",
    "model.encoder.": lambda name: f"module._orig_mod.model.encoder.{name}",
    "inside": lambda name: name.replace("layer.1.", "layer.1._checkpoint_wrapped_module."),
    "old names": (
        lambda name: f"module.{name}".replace("Norm.weight", "Norm.gamma").replace(
            "Norm.bias", "Norm.beta"
        )
    ),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_known_wrappers_are_stripped_and_weights_are_the_files(
    encoder: Path, tmp_path: Path, kind: str
) -> None:
    published = state(load_encoder(choice(encoder)))
    loaded = load_encoder(choice(changed(encoder, tmp_path / "wrapped", renamed(WRAPPERS[kind]))))
    assert all(torch.equal(tensor, published[name]) for name, tensor in state(loaded).items())
    assert len(published) == 37
    (note,) = loaded.notes
    assert note.startswith(
        f"encoder 'mine': a wrapper was stripped from {16 if kind == 'inside' else 39} names of"
        " tensors ("
    )


def test_bert_s_own_prefix_and_published_names_need_no_note(encoder: Path, tmp_path: Path) -> None:
    assert load_encoder(choice(encoder)).notes == ()
    assert (
        load_encoder(
            choice(changed(encoder, tmp_path / "own", renamed(lambda name: f"bert.{name}")))
        ).notes
        == ()
    )


def test_an_unknown_wrapper_is_refused_by_its_name(encoder: Path, tmp_path: Path) -> None:
    found = fault(changed(encoder, tmp_path / "one", renamed(lambda name: f"teacher.{name}")))
    assert found == "'mine' does not load: its file has 37 tensors of the encoder under 'teacher.'"


def test_two_towers_are_refused_with_both_names(encoder: Path, tmp_path: Path) -> None:
    def twice(weights: Weights) -> Weights:
        return {
            f"{tower}.{name}": tensor.clone()
            for tower in ("module", "model")
            for name, tensor in weights.items()
        }

    found = fault(changed(encoder, tmp_path / "two", twice))
    assert (
        found
        == "'mine' does not load: its file has 37 tensors of the encoder under 'model.' and under"
        " 'module.'"
    )


def test_two_tensors_for_one_place_are_refused(encoder: Path, tmp_path: Path) -> None:
    def twice(weights: Weights) -> Weights:
        return weights | {f"bert.{name}": tensor + 1 for name, tensor in weights.items()}

    found = fault(changed(encoder, tmp_path / "twice", twice))
    assert (
        "its file has two tensors for 37 of its places: bert.embeddings.LayerNorm.bias and"
        " embeddings.LayerNorm.bias" in found
    )


def test_missing_tensors_are_counted_and_named(encoder: Path, tmp_path: Path) -> None:
    def without(weights: Weights) -> Weights:
        return {name: tensor for name, tensor in weights.items() if "layer.1." not in name} | {
            "other": torch.zeros(2)
        }

    found = fault(changed(encoder, tmp_path / "less", without))
    names = (
        "encoder.layer.1.attention.output.LayerNorm.bias,"
        " encoder.layer.1.attention.output.LayerNorm.weight"
    )
    assert found.startswith(
        f"'mine' does not load: 16 of the encoder's 37 tensors are not in its file: {names}"
    )
    assert "and 13 more; it has 3 others: other, pooler.dense.bias, pooler.dense.weight" in found


def test_the_rest_that_lacks_behind_a_wrapper_is_counted(encoder: Path, tmp_path: Path) -> None:
    def less(weights: Weights) -> Weights:
        return {
            f"module.{name}": tensor for name, tensor in weights.items() if "position" not in name
        }

    found = fault(changed(encoder, tmp_path / "less", less))
    assert (
        "1 of the encoder's 37 tensors are not in its file: embeddings.position_embeddings.weight"
        in found
    )


def test_tensors_of_another_shape_are_counted_with_both_shapes(
    encoder: Path, tmp_path: Path
) -> None:
    def narrow(weights: Weights) -> Weights:
        return {
            name: tensor[:100] if "position" in name else tensor for name, tensor in weights.items()
        }

    found = fault(changed(encoder, tmp_path / "narrow", narrow))
    assert "1 of the encoder's 37 tensors have another shape" in found
    assert "embeddings.position_embeddings.weight (100, 32) and not (128, 32)" in found


def test_adapters_that_are_not_merged_are_refused(encoder: Path, tmp_path: Path) -> None:
    name = "encoder.layer.0.attention.self.query.lora_A.weight"
    found = fault(
        changed(encoder, tmp_path / "lora", lambda weights: weights | {name: torch.zeros(2, 32)})
    )
    assert (
        found
        == f"'mine' does not load: its file has 1 tensors of adapters that are not merged: {name}"
    )


def test_quantised_weights_are_refused(encoder: Path, tmp_path: Path) -> None:
    def codes(weights: Weights) -> Weights:
        name = "encoder.layer.0.output.dense.weight"
        return weights | {name: (weights[name] * 100).to(torch.int8)}

    found = fault(changed(encoder, tmp_path / "int8", codes))
    assert "1 of its tensors are quantised (encoder.layer.0.output.dense.weight, I8)" in found


def test_half_precision_is_read_as_it_stands(encoder: Path, tmp_path: Path) -> None:
    def half(weights: Weights) -> Weights:
        return {name: tensor.half() for name, tensor in weights.items()}

    published = state(load_encoder(choice(encoder)))
    loaded = state(load_encoder(choice(changed(encoder, tmp_path / "half", half))))
    assert all(
        torch.equal(tensor, published[name].half().float()) for name, tensor in loaded.items()
    )


def test_a_pooler_that_lacks_is_said_where_it_is_read(encoder: Path, tmp_path: Path) -> None:
    def without(weights: Weights) -> Weights:
        return {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}

    folder = changed(encoder, tmp_path / "no pooler", without)
    assert load_encoder(choice(folder)).notes == ()
    notes = load_encoder(choice(folder, "pooler")).notes
    assert notes == (
        (
            "encoder 'mine': its file has no pooler, so the pooler begins with random weights, as a"
            " head does"
        ),
    )


def test_other_heads_and_deeper_layers_are_noted(encoder: Path, tmp_path: Path) -> None:
    heads = {"classifier.weight": torch.zeros(2, 32), "classifier.bias": torch.zeros(2)}
    with_heads = changed(encoder, tmp_path / "heads", lambda weights: weights | heads)
    found = (
        "2 tensors of its file are no part of it and are left out, such as heads (classifier.bias,"
        " classifier.weight)"
    )
    assert load_encoder(choice(with_heads)).notes == (f"encoder 'mine': {found}",)
    config = json.loads((with_heads / "config.json").read_text())
    (with_heads / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    note, _ = load_encoder(choice(with_heads)).notes
    assert (
        "config.json has fewer layers than the file: 16 tensors of it are left out"
        " (encoder.layer.1." in note
    )


def test_several_files_of_weights_are_read_as_one(encoder: Path, tmp_path: Path) -> None:
    folder = changed(encoder, tmp_path / "sharded", renamed(lambda name: f"module.{name}"))
    shards(folder)
    published = state(load_encoder(choice(encoder)))
    assert all(
        torch.equal(tensor, published[name])
        for name, tensor in state(load_encoder(choice(folder))).items()
    )


def shards(folder: Path) -> None:
    """Cut a folder's file of weights into two with an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {
        name: f"model-0000{1 + number % 2}-of-00002.safetensors"
        for number, name in enumerate(sorted(weights))
    }
    for file in set(files.values()):
        save_file(
            {name: weights[name] for name, where in files.items() if where == file},
            folder / file,
            {"format": "pt"},
        )
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": files})
    )


@pytest.mark.parametrize("step", [True, False])
def test_check_and_train_refuse_an_encoder_that_lacks_tensors(
    desk: Any, cli: Any, step: bool
) -> None:
    changed(desk.encoder, desk.folder / "student", renamed(lambda name: f"student.{name}"))
    manifest = desk.manifest(encoder={"use": "./student"})
    for said in (
        cli("check", manifest, *([] if step else ["--no-step"])),
        cli("train", manifest, "--out", desk.folder / "new"),
    ):
        assert said.code == 1
        assert "37 tensors of the encoder under 'student.'" in said.err
        assert "is fine" not in said.err
    assert not (desk.folder / "new").exists()


def test_stripped_wrappers_are_noted_by_check_and_log(desk: Any, cli: Any) -> None:
    changed(desk.encoder, desk.folder / "wrapped", renamed(lambda name: f"module.{name}"))
    manifest = desk.manifest(encoder={"use": "./wrapped"}, train={"steps": 1})
    line = (
        "note: encoder './wrapped': a wrapper was stripped from 39 names of tensors"
        " (module.embeddings.LayerNorm.bias)"
    )
    for more in ([], ["--no-step"]):
        assert cli("check", manifest, *more).err.count(line) == 1
    assert line in (desk.train(manifest).folder / "log.txt").read_text()


WORDS = {"words": {"use": "masked-tokens", "options": {"of": "mood"}}}


@pytest.mark.parametrize("kind", ["sharded", "wrapped", "partial"])
def test_a_masked_word_head_is_read_or_noted_as_missing(desk: Any, kind: str) -> None:
    from transformers import BertConfig, BertForMaskedLM

    folder = desk.folder / "bert"
    shutil.copytree(desk.encoder, folder)
    theirs = BertForMaskedLM(BertConfig.from_pretrained(desk.encoder))
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    theirs.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if kind == "sharded":
        shards(folder)
    elif kind == "wrapped":
        save_file(
            {f"module.{name}": t for name, t in weights.items()},
            folder / "model.safetensors",
            {"format": "pt"},
        )
    elif kind == "partial":
        weights.pop("cls.predictions.bias")
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    session = desk.begin(desk.manifest(encoder={"use": "./bert"}, tasks=WORDS))
    session.run.close()
    log, head = (session.run.folder / "log.txt"), session.model.heads["words"]
    if kind in ("sharded", "wrapped"):
        assert session.run.environment["encoder_heads"] == ["words"]
        assert torch.equal(head.bias, theirs.cls.predictions.bias)
    elif kind == "partial":
        why = "the files of './bert' have 4 of its 5 tensors and lack bias"
        assert f"note: tasks.words: its 'masked-tokens' head begins fresh: {why}" in log.read_text()


def test_a_head_whose_file_cannot_be_read_is_an_error(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.model import encoder as module

    def fails(*given: Any) -> None:
        raise OSError("the disk says no")

    monkeypatch.setattr(module, "tensors_of", fails)
    with pytest.raises(
        EmomtlError, match=r"the head in the files of .* does not read: the disk says no"
    ):
        desk.begin(desk.manifest(tasks=WORDS))


def test_a_file_without_a_masked_word_head_is_noted(desk: Any) -> None:
    session = desk.begin(desk.manifest(tasks=WORDS))
    session.run.close()
    (note,) = session.reporter.notes
    assert note.startswith("tasks.words: its 'masked-tokens' head begins fresh: the files of ")
    assert note.endswith("have no such head")


def test_heads_that_another_run_lacks_are_named(desk: Any) -> None:
    first = desk.train(desk.manifest("first", tasks={"topics": None}, train={"steps": 1}), "first")
    session = desk.begin(
        desk.manifest("second", start={"run": str(first.folder), "heads": True}), "second"
    )
    session.run.close()
    found = (
        "1 head(s) come from that run; it has none of the same name, kind and outputs for topics"
    )
    assert session.reporter.notes == [f"start.heads: {found}"]

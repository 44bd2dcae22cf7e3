"""Encoders of every family that we name train offline from a folder; folders with code and broken
ones are refused.
"""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl import EmomtlError
from emomtl.model.device import choose_device, choose_precision
from emomtl.model.encoder import load_encoder, rebuild_encoder, save_encoder
from emomtl.model.loaded import EncoderChoice

SMALL = {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
    "electra": SMALL | {"embedding_size": 8},
    "distilbert": {"n_layers": 1, "n_heads": 2, "dim": 16, "hidden_dim": 32},
    "deberta-v2": (
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    ),
    "modernbert": (
        SMALL
        | {
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
        }
    ),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tries to reach the network fails the test."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def folder_of(family: str, encoder: Path, folder: Path) -> Path:
    """A folder with a random encoder of a family and the tiny encoder's tokenizer."""
    from transformers import AutoConfig, AutoModel

    shutil.copytree(encoder, folder)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    vocabulary = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    config = AutoConfig.for_model(
        family, vocab_size=vocabulary, max_position_embeddings=64, **FAMILIES[family]
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def choice(folder: Path | str, **more: Any) -> EncoderChoice:
    return EncoderChoice(
        "mine", str(folder), **{"revision": None, "pooling": "mean", "max_tokens": 16, **more}
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_a_step_and_its_run_opens_again(
    desk: Any, encoder: Path, family: str
) -> None:
    from emomtl.inference.predict import Predictor
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    folder = folder_of(family, encoder, desk.folder / family)
    manifest = desk.manifest(
        encoder={"use": f"./{family}"}, train={"steps": 2, "log_every": 1}, eval={"every": None}
    )
    run = desk.train(manifest)
    shutil.rmtree(folder)
    answers = Predictor.of(open_trained(run.folder, "last", Plugins.discover(), "cpu"))(
        ["happy", ""]
    )
    assert [set(answer) for answer in answers] == [{"mood", "topics"}] * 2


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "pooler"])
def test_every_pooling_trains(desk: Any, pooling: str) -> None:
    run = desk.train(
        desk.manifest(encoder={"pooling": pooling}, train={"steps": 2, "log_every": 1})
    )
    assert [event["grad_norm"] > 0 for event in run.events() if event["event"] == "step"] == [
        True,
        True,
    ]


def test_a_pooler_that_is_not_asked_for_is_not_trained(encoder: Path) -> None:
    for pooling, there in (("pooler", True), ("mean", False)):
        names = dict(load_encoder(choice(encoder, pooling=pooling)).module.named_parameters())
        assert any(name.startswith("pooler") for name in names) == there


def test_the_manifests_dropout_reaches_the_rebuilt_encoder(encoder: Path, tmp_path: Path) -> None:
    loaded = load_encoder(choice(encoder, dropout=0.37))
    save_encoder(loaded, tmp_path / "saved")
    for one in (loaded, rebuild_encoder(choice(encoder, dropout=0.37), tmp_path / "saved", 10**6)):
        found = {
            module.p for module in one.module.modules() if isinstance(module, torch.nn.Dropout)
        }
        assert found == {0.37}


def test_special_tokens_stay_whole_and_start_at_the_mean(encoder: Path, tmp_path: Path) -> None:
    loaded = load_encoder(choice(encoder), ["[NAME]", "[SEP]"])
    token = loaded.tokenizer.convert_tokens_to_ids("[NAME]")
    assert loaded.tokenizer("[NAME] was happy")["input_ids"][1] == token
    module: Any = loaded.module
    weight = module.get_input_embeddings().weight
    torch.testing.assert_close(weight[token], weight[:token].mean(dim=0))
    save_encoder(loaded, tmp_path / "saved")
    again: Any = rebuild_encoder(choice(encoder), tmp_path / "saved", 10**6)
    assert again.module.get_input_embeddings().weight.shape == weight.shape


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_folder_that_names_code_is_refused_unrun(
    encoder: Path, tmp_path: Path, file: str
) -> None:
    folder = tmp_path / "planted"
    shutil.copytree(encoder, folder)
    payload = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    (folder / "planted.py").write_text(payload + "class Model: pass\n")
    content = json.loads((folder / file).read_text())
    names = {
        "AutoConfig": "planted.Model",
        "AutoModel": "planted.Model",
        "AutoTokenizer": ["planted.Model", "planted.Model"],
    }
    (folder / file).write_text(json.dumps(content | {"auto_map": names}))
    with pytest.raises(EmomtlError, match=r"names code \('auto_map'\); emomtl runs none"):
        load_encoder(choice(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "damage",
    ["no config", "no weights", "cut weights", "no tokenizer", "config is no JSON", "empty folder"],
)
def test_a_broken_folder_gives_one_clear_error(encoder: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(encoder, folder)
    if damage == "cut weights":
        (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:5000]
        )
    elif damage == "config is no JSON":
        (folder / "config.json").write_text("{")
    else:
        names = {
            "no config": ["config.json"],
            "no weights": ["model.safetensors"],
            "empty folder": list(map(str, folder.iterdir())),
        }
        for name in names.get(damage, ["tokenizer.json", "tokenizer_config.json"]):
            (folder / name).unlink()
    with pytest.raises(EmomtlError) as caught:
        load_encoder(choice(folder))
    (problem,) = caught.value.problems
    assert problem.place == "encoder.use"
    assert problem.remedy
    assert "\n" not in str(problem)


def test_pickled_weights_are_not_read(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(encoder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(EmomtlError, match="does not load"):
        load_encoder(choice(folder))


def test_a_hub_id_without_network_gives_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EmomtlError) as caught:
        load_encoder(choice("nobody/no-such-encoder"))
    (problem,) = caught.value.problems
    assert (problem.place, problem.found.split(":")[0]) == ("encoder.use", "'mine' does not load")
    assert "offline, use 'minilm' or a folder" in problem.remedy


def test_cuda_where_there_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(EmomtlError, match="torch sees no CUDA device"):
        choose_device("cuda")


@pytest.mark.parametrize("has", [True, False])
def test_emulated_bf16_on_a_cpu_is_refused(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    assert choose_precision("auto", "cpu") == choose_precision("fp32", "cpu") == "fp32"
    if has:
        assert choose_precision("bf16", "cpu") == "bf16"
    else:
        with pytest.raises(EmomtlError, match="a hundred times slower"):
            choose_precision("bf16", "cpu")


@pytest.mark.gpu
def test_a_run_on_a_gpu_trains_and_resumes(desk: Any, contents: Any) -> None:
    manifest = desk.manifest(train={"device": "cuda"}, sampler={"per_step": "all"})
    run = desk.train(manifest)
    assert run.environment["device"] == "cuda"
    assert contents(run)["state"]["finished"]


def test_weights_of_other_labels_are_refused(desk: Any) -> None:
    from emomtl.model.build import restore_model
    from emomtl.run import find_checkpoint, open_checkpoint

    run = desk.train(desk.manifest(train={"steps": 1}))
    other = desk.begin(
        desk.manifest(
            "other", tasks={"mood": {"source": "topics.csv", "head": {"use": "multi-label"}}}
        ),
        "other",
    )
    other.run.close()
    with pytest.raises(EmomtlError, match="does not fit this model"):
        restore_model(other.model, open_checkpoint(find_checkpoint(run, "last")))

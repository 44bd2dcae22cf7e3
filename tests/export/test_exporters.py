"""Exporters write what other software opens, with the logits that the encoder and the heads give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emomtl.contracts.exporter import Exporter, ModelToExport, TaskToExport
from emomtl_plugins.exporters.classification import FILLS, Classification
from emomtl_plugins.exporters.onnx_graph import OnnxGraph, OnnxInt8
from emomtl_plugins.exporters.sentence_vectors import SentenceVectors

TEXTS = ["a", "a happy day and a friend", "sad " * 60, "afraid and alone, without work"]
WIDTH, LENGTH = 32, 24


def encoder(architecture: str, tokenizer: Any, pooling: str) -> nn.Module:
    """A small encoder of an architecture with random weights; numbers are as large as a layer norm
    makes them.
    """
    import transformers

    size: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 80,
        "pad_token_id": tokenizer.pad_token_id,
    }
    special: dict[str, dict[str, Any]] = {
        "electra": {"embedding_size": WIDTH},
        "deberta-v2": {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
        },
        "distilbert": {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    }
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        architecture, **(size | special.get(architecture, {}))
    )
    with_pooler = architecture in ("bert", "roberta", "xlm-roberta", "camembert", "mpnet")
    options = {"add_pooling_layer": pooling == "pooler"} if with_pooler else {}
    model: nn.Module = transformers.AutoModel.from_config(config, **options).eval()
    return model


def model(architecture: str, folder: Path, pooling: str, tasks: int = 1) -> ModelToExport:
    """A model with a multi-label task and, with two, a single-label one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if architecture in ("roberta", "xlm-roberta", "camembert", "mpnet", "distilbert", "modernbert"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    whole = encoder(architecture, tokenizer, pooling)
    first = nn.Sequential(nn.Dropout(0.1), nn.Linear(WIDTH, 4)).eval()
    second = nn.Sequential(nn.Dropout(0.1), nn.Linear(WIDTH, 2)).eval()
    heads = [
        TaskToExport("moods", ("joy", "anger", "fear", "calm"), first, "sigmoid"),
        TaskToExport("good-or-bad", ("good", "bad"), second, "softmax"),
    ]
    return ModelToExport(
        whole, tokenizer, pooling, LENGTH, {task.name: task for task in heads[:tasks]}
    )


def own_logits(exported: ModelToExport, task: str) -> Any:
    """The logits of a task by the encoder itself, each text alone, so without padding."""
    rows = []
    for text in TEXTS:
        inputs = exported.tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt")
        with torch.inference_mode():
            output = exported.encoder(**inputs)
            states = output.last_hidden_state
            pooled = {
                "cls": lambda states=states: states[:, 0],
                "mean": lambda states=states: states.mean(dim=1),
                "max": lambda states=states: states.amax(dim=1),
                "pooler": lambda output=output: output.pooler_output,
            }[exported.pooling]()
            rows.append(exported.tasks[task].head(pooled).numpy()[0])
    return np.stack(rows)


def differences(exporter: Exporter, exported: ModelToExport, folder: Path) -> dict[str, float]:
    """By task how far the written files are from the encoder."""
    assert exporter.obstacles(exported) == []
    folder.mkdir()
    exporter.write(exported, folder)
    logits = exporter.logits(exported, folder, TEXTS, None)
    return {
        task: float(np.abs(logits[task] - own_logits(exported, task)).max())
        for task in exported.tasks
    }


CASES = [
    (architecture, pooling)
    for architecture, (poolings, _) in FILLS.items()
    for pooling in sorted(poolings)
]


@pytest.mark.parametrize(("architecture", "pooling"), CASES)
def test_a_stock_classifier_computes_the_logits_of_the_run(
    architecture: str, pooling: str, encoder: Path, tmp_path: Path
) -> None:
    exported = model(architecture, encoder, pooling)
    assert differences(Classification(), exported, tmp_path / "out")["moods"] < 1e-5


def test_the_pipeline_of_transformers_answers_without_code(encoder: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    exported = model("bert", encoder, "cls")
    differences(Classification(), exported, tmp_path / "out")
    classify = pipeline("text-classification", model=str(tmp_path / "out"))
    answers = classify(TEXTS, top_k=None, truncation=True)
    expected = 1 / (1 + np.exp(-own_logits(exported, "moods")))
    for answer, row in zip(answers, expected, strict=True):
        scores = {one["label"]: one["score"] for one in answer}
        assert scores == pytest.approx(
            dict(zip(exported.tasks["moods"].labels, row, strict=True)), abs=1e-5
        )
    assert not list((tmp_path / "out").glob("*.py"))
    assert not list((tmp_path / "out").glob("*.bin"))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_stock_classifier_refuses_what_it_cannot_pool(pooling: str, encoder: Path) -> None:
    (found,) = Classification().obstacles(model("bert", encoder, pooling))
    assert "the formats sentence-transformers and onnx can express it" in found


def test_a_stock_classifier_refuses_an_architecture_whose_head_is_not_linear(encoder: Path) -> None:
    (found,) = Classification().obstacles(model("modernbert", encoder, "cls"))
    assert "'modernbert' has layers that cannot be made linear" in found


def test_a_head_of_two_layers_is_refused_by_name(encoder: Path) -> None:
    exported = model("bert", encoder, "cls")
    deep = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 4))
    task = TaskToExport("moods", exported.tasks["moods"].labels, deep, "sigmoid")
    exported = ModelToExport(exported.encoder, exported.tokenizer, "cls", LENGTH, {"moods": task})
    assert Classification().obstacles(exported) == [
        "the head of 'moods' is not one linear layer with a bias"
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_sentence_transformers_gives_the_logits_of_all_tasks(
    pooling: str, encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers", reason="it is in the dev group")
    found = differences(
        SentenceVectors(), model("bert", encoder, pooling, tasks=2), tmp_path / "out"
    )
    assert max(found.values()) < 1e-5


ARCHITECTURES = ["roberta", "electra", "deberta-v2", "distilbert", "modernbert"]
ONNX_CASES = [pytest.param("bert", "mean")]
ONNX_CASES += [
    pytest.param("bert", pooling, marks=pytest.mark.long) for pooling in ("cls", "max", "pooler")
]
ONNX_CASES += [
    pytest.param(name, pooling, marks=pytest.mark.long)
    for name in ARCHITECTURES
    for pooling in ("cls", "mean")
]


@pytest.mark.parametrize(("architecture", "pooling"), ONNX_CASES)
def test_one_graph_gives_the_logits_of_all_tasks(
    architecture: str, pooling: str, encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="it is in the dev group")
    pytest.importorskip("onnxscript", reason="it is in the dev group")
    found = differences(
        OnnxGraph(), model(architecture, encoder, pooling, tasks=2), tmp_path / "out"
    )
    assert max(found.values()) < 1e-5


def test_eight_bits_stay_near_the_logits(encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="it is in the dev group")
    pytest.importorskip("onnxscript", reason="it is in the dev group")
    found = differences(OnnxInt8(), model("bert", encoder, "mean", tasks=2), tmp_path / "out")
    assert 0 < max(found.values()) < 0.1

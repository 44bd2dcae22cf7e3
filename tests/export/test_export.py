"""`emomtl export`: what is written agrees with the run, and what cannot be expressed or is damaged
is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emomtl
from emomtl.errors import EmomtlError
from emomtl.export.exporting import ExportOrder, export_run
from emomtl.plugins.discovery import Plugins

TEXTS = ["a happy day", "they shouted and broke it", "", "sad " * 500]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    """A small run with pooling by the mean, and tuned thresholds."""
    from tests.conftest import Desk

    desk = Desk(tmp_path_factory.mktemp("desk"), encoder)
    return desk.train(desk.manifest()).folder


@pytest.fixture(scope="module")
def onnx(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run as an ONNX folder."""
    pytest.importorskip("onnxruntime", reason="it is in the dev group")
    pytest.importorskip("onnxscript", reason="it is in the dev group")
    folder = tmp_path_factory.mktemp("export") / "onnx"
    export_run(ExportOrder(run, "onnx", folder), Plugins.discover())
    return folder


def test_an_onnx_folder_answers_as_its_run(run: Path, onnx: Path) -> None:
    model, exported = emomtl.load(run), emomtl.load(onnx)
    assert exported.tasks == model.tasks == ("mood", "topics")
    for task in model.tasks:
        assert exported.labels(task) == model.labels(task)
        expected = model.predict_proba(TEXTS, task)
        assert np.allclose(exported.predict_proba(TEXTS, task), expected, atol=1e-6)
    for answer, expected_answer in zip(exported.predict(TEXTS), model.predict(TEXTS), strict=True):
        for task, level in answer.items():
            assert level["labels"] == expected_answer[task]["labels"]


def test_an_onnx_folder_opens_without_torch(onnx: Path) -> None:
    code = f"""
import sys, emomtl
model = emomtl.load({str(onnx)!r})
assert model.predict("a happy day")["mood"]["labels"]
assert not [name for name in ("torch", "transformers", "sklearn", "pyarrow") if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_record_says_labels_thresholds_and_what_was_verified(onnx: Path) -> None:
    record = json.loads((onnx / "emomtl.json").read_text(encoding="utf-8"))
    assert set(record["tasks"]) == {"mood", "topics"}
    assert record["tasks"]["mood"]["thresholds"] is None
    assert len(record["tasks"]["topics"]["thresholds"]) == len(record["tasks"]["topics"]["labels"])
    for facts in record["verified"].values():
        assert facts["rows"] > 0
        assert facts["largest_logit_difference"] < 1e-4
        assert facts["run"] == facts["exported"]
    assert "## How to use" in (onnx / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_export_is_refused_by_the_file(onnx: Path, tmp_path: Path, name: str) -> None:
    import shutil

    copy = Path(shutil.copytree(onnx, tmp_path / "copy"))
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(EmomtlError, match=f"{name}.*SHA-256 is not the one"):
        emomtl.load(copy)
    (copy / name).unlink()
    with pytest.raises(EmomtlError, match=f"{name}.*lacks this file"):
        emomtl.load(copy)


def test_a_path_out_of_the_folder_is_refused(onnx: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(onnx, tmp_path / "copy"))
    record = json.loads((copy / "emomtl.json").read_text(encoding="utf-8"))
    record["files"]["../secret"] = "0" * 64
    (copy / "emomtl.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(EmomtlError, match="a file outside of the folder"):
        emomtl.load(copy)


def test_what_no_stock_classifier_can_express_is_refused_and_leaves_nothing(
    run: Path, tmp_path: Path
) -> None:
    order = ExportOrder(run, "transformers", tmp_path / "out")
    with pytest.raises(EmomtlError, match="pooled by 'mean'"):
        export_run(order, Plugins.discover())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(EmomtlError, match="not an empty folder"):
        export_run(ExportOrder(run, "transformers", tmp_path), Plugins.discover())
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_an_unknown_format_names_those_there_are(run: Path, tmp_path: Path) -> None:
    with pytest.raises(EmomtlError, match="did you mean 'onnx'"):
        export_run(ExportOrder(run, "onxx", tmp_path / "out"), Plugins.discover())


def test_a_missing_package_names_the_extra(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl_plugins.exporters.onnx_graph import OnnxGraph

    monkeypatch.setattr(OnnxGraph, "needs", {"no_such_package": "onnx"})
    with pytest.raises(EmomtlError, match=r'pip install "emomtl\[onnx\]"'):
        export_run(ExportOrder(run, "onnx", tmp_path / "out"), Plugins.discover())


def test_files_that_disagree_with_the_run_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl_plugins.exporters.sentence_vectors import SentenceVectors

    pytest.importorskip("sentence_transformers", reason="it is in the dev group")
    right = SentenceVectors.logits

    def wrong(self: Any, *given: Any) -> Any:
        return {task: logits + 0.001 for task, logits in right(self, *given).items()}

    monkeypatch.setattr(SentenceVectors, "logits", wrong)
    with pytest.raises(EmomtlError, match=r"logits differ from the run's by up to 0\.001"):
        export_run(ExportOrder(run, "sentence-transformers", tmp_path / "out"), Plugins.discover())
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_first_token_becomes_a_folder_a_task(desk: Any, tmp_path: Path) -> None:
    run = desk.train(desk.manifest(encoder={"pooling": "pooler"}))
    order = ExportOrder(run.folder, "transformers", tmp_path / "out")
    exported = export_run(order, Plugins.discover())
    assert [one.folder for one in exported] == [tmp_path / "out/mood", tmp_path / "out/topics"]
    one = export_run(replace(order, tasks=("topics",), out=tmp_path / "one"), Plugins.discover())
    assert [exported.folder for exported in one] == [tmp_path / "one"]
    config = json.loads((tmp_path / "one/config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert list(config["id2label"].values()) == list(emomtl.load(run.folder).labels("topics"))


@pytest.mark.parametrize("change", ["lora", "shallow"])
def test_changes_are_merged_into_plain_weights(desk: Any, tmp_path: Path, change: str) -> None:
    options = {"lora": {"r": 2, "targets": ["query", "value"]}, "shallow": {"layers": 1}}[change]
    if change == "lora":
        pytest.importorskip("peft", reason="it is in the dev group")
    changes = [{"use": change, **options}]
    run = desk.train(desk.manifest(encoder={"pooling": "cls", "changes": changes}))
    exported = export_run(
        ExportOrder(run.folder, "transformers", tmp_path / "out"), Plugins.discover()
    )
    for one in exported:
        assert all(facts["largest_logit_difference"] < 1e-4 for facts in one.verified.values())


def test_a_change_by_task_is_refused_by_name(desk: Any, tmp_path: Path) -> None:
    run = desk.train(desk.manifest(encoder={"pooling": "cls", "changes": [{"use": "pals"}]}))
    with pytest.raises(EmomtlError, match=r"answers each task in its own way \(pals\)"):
        export_run(ExportOrder(run.folder, "transformers", tmp_path / "out"), Plugins.discover())

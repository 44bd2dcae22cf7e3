"""The Python API gives what the command line gives, and its errors are EmomtlError."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emomtl
from emomtl.api.runs import evaluate, train
from emomtl.errors import EmomtlError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    """A small run."""
    from tests.conftest import Desk

    desk = Desk(tmp_path_factory.mktemp("desk"), encoder)
    return desk.train(desk.manifest()).folder


def test_importing_emomtl_imports_nothing_heavy() -> None:
    import subprocess

    code = "import sys, emomtl; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_predictions_are_those_of_the_command_line(run: Path) -> None:
    from emomtl.inference.predict import Predictor
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    texts = ["a happy day", "sad and lonely", ""]
    expected = Predictor.of(open_trained(run, "best", Plugins.discover()))(texts)
    assert emomtl.load(run).predict(texts, thresholds="fixed") == expected


def test_one_text_has_one_answer(run: Path) -> None:
    model = emomtl.load(run)
    answer = model.predict("a happy day", tasks="mood")
    assert list(answer) == ["mood"]
    assert answer == model.predict(["a happy day"], tasks=["mood"])[0]


def test_probabilities_are_columns_of_labels(run: Path) -> None:
    model = emomtl.load(run)
    probabilities = model.predict_proba(["a happy day", "sad"], task="mood")
    assert probabilities.shape == (2, len(model.labels("mood")))
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_thresholds_decide_which_labels_are_answered(run: Path) -> None:
    model = emomtl.load(run)
    labels = model.labels("topics")
    low = model.predict("a happy day", "topics", thresholds=1e-9)["topics"]["labels"]
    high = model.predict("a happy day", "topics", thresholds=1 - 1e-9)["topics"]["labels"]
    assert (set(low), high) == (set(labels), [])
    mapping = {"topics": dict.fromkeys(labels, 1 - 1e-9) | {labels[1]: 1e-9}}
    assert model.predict("a happy day", "topics", thresholds=mapping)["topics"]["labels"] == [
        labels[1]
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.labels("moods"), "did you mean 'mood'"),
        (lambda model: model.predict("a", tasks="none"), "'none' is no task of this model"),
        (lambda model: model.predict_proba("a"), "several tasks"),
        (lambda model: model.predict([3]), "text 0 is of the type int"),
        (lambda model: model.predict(("a", "b"), tasks="mood"), "text 0 is a pair"),
        (lambda model: model.predict("a", thresholds=2.0), "2.0 is no threshold"),
        (
            lambda model: model.predict("a", thresholds={"topics": {"joy": 0.5}}),
            "no threshold for 3",
        ),
        (lambda model: model.predict("a", thresholds={"topics": {"glee": 0.5}}), "no label 'glee'"),
    ],
)
def test_what_is_wrong_is_said_in_one_error(run: Path, call: Any, message: str) -> None:
    with pytest.raises(EmomtlError, match=message):
        call(emomtl.load(run))


def test_vectors_do_not_depend_on_their_neighbours(run: Path) -> None:
    model = emomtl.load(run)
    together = model.embed(["a happy day", "sad " * 12, ""])
    assert together.shape[0] == 3
    assert np.allclose(together[0], model.embed("a happy day")[0], atol=1e-6)


def test_scores_history_and_html_tell_of_the_run(run: Path) -> None:
    model = emomtl.load(run)
    metrics = model.evaluate("test")
    assert set(metrics) == {"mood", "topics"}
    shown = [row for row in model.scores if row["split"] == "test" and row["metric"] == "macro_f1"]
    assert {row["task"]: row["value"] for row in shown} == {
        task: metrics[task]["macro_f1"] for task in metrics
    }
    assert any(event["event"] == "evaluation" for event in model.history)
    assert "<table>" in model._repr_html_()
    assert evaluate(run, "test") == metrics


def test_a_dict_trains_as_its_file_does(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import tomli

    monkeypatch.chdir(desk.folder)
    path = desk.manifest()
    from_file = train(path, set={"train.steps": 3}, out=desk.folder / "a", progress=False)
    tables = tomli.loads(path.read_text(encoding="utf-8"))
    from_dict = train(tables, set={"train.steps": 3}, out=desk.folder / "b", progress=False)
    first, second = emomtl.load(from_file.folder), emomtl.load(from_dict.folder)
    assert np.array_equal(
        first.predict_proba("a happy day", "mood"), second.predict_proba("a happy day", "mood")
    )


def test_a_value_that_toml_cannot_say_is_refused_by_its_key(desk: Any) -> None:
    with pytest.raises(EmomtlError, match=r"train\.steps: is nothing that TOML can say"):
        train(desk.manifest(), set={"train.steps": object()}, out=desk.folder / "a", progress=False)

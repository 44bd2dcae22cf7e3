"""Thresholds that a run keeps: from training to eval, predict and the model card; never from the
rows that are scored.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from emomtl.inference.opened import open_run
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint
from emomtl.run.predictions import recorded_predictions

WAYS = ("tuned", "tuned_by_label")


def kept(folder: Path) -> Any:
    """What the run keeps of the topics of its best checkpoint."""
    run = Run.open(folder)
    content = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
    return content["checkpoints"][find_checkpoint(run, "best").resolve().name]["tasks"]["topics"]


def forget(folder: Path) -> None:
    """Make it a run of an older emomtl, which kept answers and no thresholds."""
    (folder / "thresholds.json").unlink()


def test_training_keeps_thresholds_and_temperature_of_the_best_checkpoint(copied: Path) -> None:
    run = Run.open(copied)
    best = find_checkpoint(run, "best").resolve().name
    found = kept(copied)
    answers = recorded_predictions(run, "validation", best, "topics")
    assert answers is not None
    targets, probabilities = answers
    assert found["rows"] == len(targets)
    for way in WAYS:
        thresholds = found["thresholds"][way]
        decided = probabilities >= np.array(
            [thresholds["by_label"][label] for label in found["labels"]]
        )
        assert thresholds["macro_f1"] == pytest.approx(
            f1_score(targets, decided, average="macro", zero_division=0)
        )
    entry = next(entry for entry in run.scores() if entry.get("which") == "best")
    for way in WAYS:
        cross_fitted = found["thresholds"][way]["macro_f1_cross_fitted"]
        assert entry["tasks"]["topics"]["metrics"][f"macro_f1_{way}"] == cross_fitted
    assert "cross-fitted" in entry["tasks"]["topics"]["tuned"]
    mood = open_run(copied, "best", Plugins.discover()).tunings()["mood"]
    assert mood.thresholds == {}
    assert mood.temperature > 0
    log = (copied / "log.txt").read_text(encoding="utf-8")
    assert log.count(f"topics, {best}: tuned on {len(targets)} validation rows: temperature") == 1


@pytest.mark.parametrize("old", [False, True])
def test_eval_scores_test_at_thresholds_of_validation(copied: Path, cli: Any, old: bool) -> None:
    thresholds = kept(copied)
    if old:
        forget(copied)
    said = cli("eval", copied, "--split", "test", "--json")
    assert said.code == 0, said.err
    assert (
        f"topics: metrics with `_tuned`: thresholds tuned on {thresholds['rows']} validation rows"
        in said.err
    )
    metrics = json.loads(said.out)["tasks"]["topics"]
    run = Run.open(copied)
    answers = recorded_predictions(
        run, "test", find_checkpoint(run, "best").resolve().name, "topics"
    )
    assert answers is not None
    for way in WAYS:
        values = np.array(
            [thresholds["thresholds"][way]["by_label"][label] for label in thresholds["labels"]]
        )
        for mean in ("macro", "micro"):
            expected = f1_score(answers[0], answers[1] >= values, average=mean, zero_division=0)
            assert metrics[f"{mean}_f1_{way}"] == pytest.approx(expected)
    assert "macro_f1_tuned" not in json.loads(said.out)["tasks"]["mood"]
    assert "macro_f1_tuned" in cli("eval", copied, "--split", "test").out.replace("\n", "")


def test_the_table_after_training_has_a_row_a_checkpoint(desk: Any, cli: Any) -> None:
    said = cli(
        "train", desk.manifest(train={"steps": 2}, eval={"every": 2}), "--out", desk.folder / "once"
    )
    assert said.code == 0, said.err
    words = " ".join(said.out.split())
    assert words.count("best, last") == 2
    assert "metrics with `_tuned` are cross-fitted" in words
    again = (desk.folder / "once" / "thresholds.json").read_bytes()
    assert (
        cli("train", desk.folder / "small.toml", "--out", desk.folder / "once", "--resume").code
        == 0
    )
    assert (desk.folder / "once" / "thresholds.json").read_bytes() == again


def test_eval_of_validation_is_cross_fitted_and_says_so(copied: Path, cli: Any) -> None:
    said = cli("eval", copied, "--json")
    assert (
        "are cross-fitted: each fifth of these rows at thresholds tuned on the other four"
        in said.err
    )
    metrics = json.loads(said.out)["tasks"]["topics"]
    assert metrics["macro_f1_tuned"] == pytest.approx(
        kept(copied)["thresholds"]["tuned"]["macro_f1_cross_fitted"]
    )


def test_without_answers_of_validation_eval_says_how_to_get_them(desk: Any, cli: Any) -> None:
    run = desk.train(desk.manifest(checkpoint={"every": 1}))
    forget(run.folder)
    for file in (run.folder / "answers").iterdir():
        file.unlink()
    content = json.loads((run.folder / "scores.json").read_text(encoding="utf-8"))
    for entry in content["evaluations"]:
        del entry["answers"]
    del content["sha256"]
    (run.folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    said = cli("eval", run.folder, "--split", "test")
    assert said.code == 0, said.err
    assert "topics: no metrics at tuned thresholds" in said.err
    assert "--split validation --checkpoint best` keeps them" in " ".join(said.err.split())
    refused = cli("predict", run.folder, "a happy day", "--thresholds", "tuned")
    assert refused.code == 1
    assert "the run has no tuned thresholds for this checkpoint" in refused.err
    assert cli("eval", run.folder).code == 0
    assert (run.folder / "thresholds.json").is_file()
    assert cli("predict", run.folder, "a happy day", "--thresholds", "tuned").code == 0


def test_validation_as_a_whole_takes_the_place_of_a_part(desk: Any, cli: Any) -> None:
    run = desk.train(desk.manifest(tasks={"topics": {"eval_limit": 8}}))
    assert kept(run.folder)["rows"] == 8
    assert cli("eval", run.folder).code == 0
    assert kept(run.folder)["rows"] == 18
    assert cli("eval", run.folder, "--no-answers").code == 0
    assert kept(run.folder)["rows"] == 18


def answers_of(said: Any) -> Any:
    assert said.code == 0, said.err
    return json.loads(said.out)["topics"]


def test_predict_answers_at_the_thresholds_that_are_chosen(
    copied: Path, cli: Any, tmp_path: Path
) -> None:
    text = "happy love alone"
    fixed = answers_of(cli("predict", copied, text, "--json"))
    assert fixed == answers_of(cli("predict", copied, text, "--json", "--thresholds", "fixed"))
    probabilities = fixed["probabilities"]
    found = kept(copied)
    chosen: dict[str, dict[str, float]] = {
        way: found["thresholds"][way]["by_label"] for way in WAYS
    }
    middle = sorted(probabilities.values())[1]
    given = {
        label: min(0.99, value + 1e-6) if value > middle else value
        for label, value in probabilities.items()
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"topics": given}), encoding="utf-8")
    for choice, thresholds in (
        ("tuned", chosen["tuned"]),
        ("tuned-by-label", chosen["tuned_by_label"]),
        (str(middle), dict.fromkeys(probabilities, middle)),
        (str(path), given),
    ):
        said = cli("predict", copied, text, "--json", "--thresholds", choice)
        answer = answers_of(said)
        expected = {label for label, value in probabilities.items() if value >= thresholds[label]}
        assert set(answer["labels"]) == expected, choice
        assert answer["probabilities"] == probabilities
        assert "topics: labels are answered from" in said.err
    assert len(answer["labels"]) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"topics": 1.5}, "1.5 is no threshold"),
        ({"topics": {"joy": 0.3}}, "no threshold for 3 label(s): "),
        ({"topics": {"jooy": 0.3}}, "has no label 'jooy'"),
        (
            {"topics": {"joy": True, "anger": 0.1, "sadness": 0.1, "fear": 0.1}},
            "True is no threshold",
        ),
        ({"mood": 0.3}, "'topics' is missing, and answers by thresholds"),
        ({"topcs": 0.3}, "'topcs' is no task of this run"),
        ([0.3], "a JSON object was expected, found list"),
    ],
)
def test_a_file_of_thresholds_that_leaves_something_open_is_refused(
    copied: Path, cli: Any, tmp_path: Path, content: Any, said: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    found = cli("predict", copied, "a happy day", "--thresholds", path)
    assert found.code == 1
    assert said in " ".join(found.err.split())


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("tunned", "'tunned' is not known"),
        ("1", "1.0 is no threshold"),
        ("nan", "nan is no threshold"),
        ("absent.json", "No such file"),
    ],
)
def test_a_choice_of_thresholds_that_makes_no_sense_is_refused(
    copied: Path, cli: Any, choice: str, said: str
) -> None:
    found = cli("predict", copied, "a happy day", "--thresholds", choice)
    assert found.code == 1
    assert said in " ".join(found.err.split())


def test_thresholds_of_a_task_without_any_are_refused(copied: Path, cli: Any) -> None:
    found = cli("predict", copied, "a happy day", "--task", "mood", "--thresholds", "0.3")
    assert (found.code, "no task here answers its labels by thresholds" in found.err) == (1, True)


def test_a_group_is_predicted_if_a_member_is() -> None:
    from types import SimpleNamespace

    from emomtl import Grouping, MultiLabel, Taxonomy
    from emomtl.inference.predict.predictor import decoded

    taxonomy = Taxonomy(
        ["joy", "anger", "fear"],
        groupings=(Grouping("sign", {"good": ["joy"], "bad": ["anger", "fear"]}),),
    )
    bound: Any = SimpleNamespace(head=MultiLabel(), taxonomy=taxonomy)
    probabilities = np.array([[0.4, 0.6, 0.1]])
    (answer,) = decoded(bound.head, bound.taxonomy, probabilities, (0.3, 0.7, 0.05))
    assert answer["labels"] == ["joy", "fear"]
    assert answer["groupings"]["sign"]["labels"] == ["bad", "good"]
    (fixed,) = decoded(bound.head, bound.taxonomy, probabilities, None)
    assert (fixed["labels"], fixed["groupings"]["sign"]["labels"]) == (["anger"], ["bad"])


def test_thresholds_that_somebody_changed_are_not_taken(copied: Path, cli: Any) -> None:
    path = copied / "thresholds.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"rows": 18', '"rows": 19'), encoding="utf-8"
    )
    found = cli("predict", copied, "a happy day", "--thresholds", "tuned")
    assert (found.code, "it is not what this run wrote into it" in found.err) == (1, True)


def test_the_model_card_carries_thresholds_and_temperatures(
    copied: Path, cli: Any, tmp_path: Path
) -> None:
    assert cli("eval", copied, "--split", "test").code == 0
    said = cli("report", copied, "--card", tmp_path / "README.md")
    assert said.code == 0, said.err
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Tuned thresholds of each label" in text
    found = kept(copied)
    assert f"`topics` {found['temperature']:.3g}" in text
    assert "`mood` " in text
    rows = [line for line in text.splitlines() if re.match(r"\| topics +\| joy ", line)]
    assert len(rows) == 1
    assert f"{found['thresholds']['tuned']['by_label']['joy']:.4f}" in rows[0]

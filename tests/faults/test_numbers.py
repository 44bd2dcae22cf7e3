"""Numbers that go wrong, tried as a user would: each stops with one reason or is said, and what is
undefined is no silent 0.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ALONE: dict[str, Any] = {"weighting": {"use": "equal"}}


def lines_of(desk: Any) -> list[str]:
    return (desk.folder / "mood.csv").read_text().splitlines()


def write(desk: Any, lines: list[str]) -> None:
    (desk.folder / "mood.csv").write_text("\n".join(lines) + "\n")


def relabelled(desk: Any, label: str, where: str = "") -> None:
    """Give every row (of the split `where`) this label."""
    pattern = rf",(joy|anger|sadness),{where}"
    write(desk, [re.sub(pattern, f",{label},{where}", line) for line in lines_of(desk)])


def mood(desk: Any, **table: Any) -> Path:
    """A manifest of the task `mood` alone."""
    made: Path = desk.manifest(tasks={"topics": None, "mood": table}, **ALONE)
    return made


def notes(err: str) -> list[str]:
    return [line.removeprefix("note: ") for line in err.splitlines() if line.startswith("note: ")]


def test_a_step_without_labels_has_no_loss(desk: Any) -> None:
    lines = lines_of(desk)
    write(
        desk,
        [
            line if number % 12 == 1 else re.sub(r",\w+,train", ",,train", line)
            for number, line in enumerate(lines)
        ],
    )
    manifest = mood(
        desk, options={"labels": ["joy", "anger", "sadness"], "empty": "unknown"}, batch_size=2
    )
    run = desk.train(manifest, overrides=["train.steps=16", "train.log_every=1", "eval.every=16"])
    told = [event["losses"] for event in run.events() if event["event"] == "step"]
    assert {} in told
    assert all(losses["mood"] > 0 for losses in told if losses)


def test_a_label_that_no_training_row_has_is_reported(desk: Any, cli: Any) -> None:
    write(desk, [line for line in lines_of(desk) if ",sadness,train" not in line])
    said = cli("train", mood(desk), "--out", desk.folder / "run")
    assert said.code == 1
    assert (
        "unknown label 'sadness' (no training row has it, and the labels were learned from those:"
        " anger, joy" in said.err
    )
    said = cli(
        "train",
        mood(desk, options={"labels": ["joy", "anger", "sadness"]}),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 0
    assert "mood: no training row has sadness, so the run cannot learn it" in notes(said.err)


def test_check_says_the_same_of_the_targets_as_train(desk: Any, cli: Any) -> None:
    write(desk, [line for line in lines_of(desk) if ",sadness,train" not in line])
    said = cli("check", mood(desk, options={"labels": ["joy", "anger", "sadness"]}), "--no-step")
    assert said.code == 0
    assert "mood: no training row has sadness, so the run cannot learn it" in notes(said.err)


def test_one_training_row_is_trained_on_and_said(desk: Any, cli: Any) -> None:
    write(desk, ["text,label,part", "hello there,joy,train", "bad day,anger,validation"])
    said = cli(
        "train", mood(desk, options={"labels": ["joy", "anger"]}), "--out", desk.folder / "run"
    )
    assert said.code == 0
    assert notes(said.err) == [
        "mood: 1 training row(s) with a label for a batch of 8: a step sees rows several times",
        "mood: no training row has anger, so the run cannot learn it",
        "mood: joy is the only label of the training rows: there is nothing to tell apart",
        "mood: metrics on 1 validation row(s) say little",
    ]
    assert (
        "the training rows have 1 label(s)"
        in cli("train", mood(desk), "--out", desk.folder / "learned").err
    )


def test_rows_of_one_label_are_reported_or_refused(desk: Any, cli: Any) -> None:
    relabelled(desk, "joy")
    assert (
        "tasks.mood: the training rows have 1 label(s)"
        in cli("train", mood(desk), "--out", desk.folder / "run").err
    )
    said = cli(
        "train", mood(desk, options={"labels": ["joy", "anger"]}), "--out", desk.folder / "run"
    )
    assert said.code == 0
    assert (
        "mood: joy is the only label of the training rows: there is nothing to tell apart"
        in notes(said.err)
    )


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("head", ["single-label", "multi-label", "regression"])
def test_a_split_without_targets_makes_no_folder(
    refused: Any, desk: Any, split: str, head: str
) -> None:
    if head == "regression":
        write(
            desk,
            [
                re.sub(r",(joy|anger|sadness),", lambda found: f",{len(found[1])},", line)
                for line in lines_of(desk)
            ],
        )
        write(desk, [re.sub(rf",\d,{split}", f",,{split}", line) for line in lines_of(desk)])
        manifest = mood(desk, head={"use": head})
    else:
        relabelled(desk, "", split)
        manifest = mood(desk, head={"use": head}, options={"labels": ["joy", "anger", "sadness"]})
    message = refused("train", manifest, "--out", desk.folder / "run")
    what = "number" if head == "regression" else "label"
    assert re.search(rf"tasks\.mood: none of its \d+ {split} row\(s\) has a {what}", message)


def numbers(desk: Any, values: dict[str, str]) -> Path:
    write(
        desk,
        [
            re.sub(r",(joy|anger|sadness),", lambda found: f",{values[found[1]]},", line)
            for line in lines_of(desk)
        ],
    )
    return mood(
        desk,
        head=(
            {"use": "regression", "low": 0.0, "high": 5.0}
            if "9" in values.values()
            else {"use": "regression"}
        ),
    )


def test_targets_out_of_range_are_refused_with_their_rows(refused: Any, desk: Any) -> None:
    message = refused(
        "train",
        numbers(desk, {"joy": "1", "anger": "2", "sadness": "9"}),
        "--out",
        desk.folder / "r",
        problems=11,
    )
    assert "mood.csv:3: mood: train row 3: 'value' is 9.0, outside 0.0..5.0" in message
    assert "more than 10 bad rows" in message


def test_a_number_that_float32_does_not_hold_is_refused(refused: Any, desk: Any) -> None:
    message = refused(
        "train",
        numbers(desk, {"joy": "1", "anger": "2", "sadness": "1e300"}),
        "--out",
        desk.folder / "r",
        problems=11,
    )
    assert "'value' is 1e+300, more than float32 holds" in message


def test_a_constant_target_leaves_metrics_undefined_and_not_0(desk: Any, cli: Any) -> None:
    said = cli(
        "train",
        numbers(desk, {"joy": "1", "anger": "1", "sadness": "1"}),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 0
    assert "mood: every training row has 1 for value: there is nothing to learn" in notes(said.err)
    assert any(
        note.startswith("mood/pearson_r is undefined on validation, so it cannot choose")
        for note in notes(said.err)
    )
    assert "undefined" in said.out
    kept = json.loads((desk.folder / "run" / "scores.json").read_text())["evaluations"]
    assert [entry["tasks"]["mood"]["metrics"]["pearson_r"] for entry in kept] == [None, None]


def test_figures_without_positives_are_undefined_or_told_as_a_convention(
    desk: Any, cli: Any
) -> None:
    relabelled(desk, "joy", "validation")
    labels = {"labels": ["joy", "anger", "sadness", "awe"]}
    said = cli(
        "train",
        mood(desk, head={"use": "multi-label"}, options=labels),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 0
    scores = json.loads((desk.folder / "run" / "scores.json").read_text())["evaluations"][0][
        "tasks"
    ]["mood"]
    rows = {row["label"]: row for row in scores["tables"][""]}
    for name, row in rows.items():
        if name != "joy" and not row["predicted"]:
            assert (row["precision"], row["recall"], row["f1"]) == (None, None, None)
    said_of = " ".join(scores["undefined"])
    assert all(
        name in said_of for name, row in rows.items() if not row["support"] or not row["predicted"]
    )


def test_two_columns_of_one_name_are_refused_by_name(refused: Any, desk: Any) -> None:
    write(desk, ["text,label,label", *lines_of(desk)[1:]])
    assert "two columns are called 'label'" in refused(
        "train", mood(desk), "--out", desk.folder / "run", problems=2
    )

"""Labels of one's own file from the first reading to a reopened run: what a value means never
changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.compose import Plan, compose_file
from emomtl.data.corpus import TaskData
from emomtl.errors import EmomtlError
from emomtl.inference.trained import open_trained
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.train import Display
from emomtl.train.reading import read

MOODS = ("joy", "anger", "sadness")
CODES = dict(zip(MOODS, (10, 2, 9), strict=True))
"""Numbers whose order as text ("10", "2", "9") is another than their order as numbers."""


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of the kind that its ending says; CSV and Parquet as pandas writes them."""
    import pandas

    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        pandas.DataFrame(rows).to_csv(path, index=False)
    else:
        pandas.DataFrame(rows).to_parquet(path, index=False)
    return path


def moods(desk: Any) -> list[dict[str, str]]:
    """The rows of the desk's `mood` task: text, label and part."""
    lines = (desk.folder / "mood.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [dict(zip(("text", "label", "part"), line.split(","), strict=True)) for line in lines]


def manifest_of(
    desk: Any, source: Path, options: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """A manifest with one task over a file."""
    task = {"use": "table", "source": source.name, "options": {"split": "part"} | (options or {})}
    train = {"steps": 30, "batch_size": 8, "lr": 3e-3, "log_every": 30, "threads": 1}
    eval_ = {"every": 30}
    path: Path = desk.manifest(
        tasks={"mood": None, "topics": None, "own": task | changes}, train=train, eval=eval_
    )
    return path


def plan_of(desk: Any, source: Path, options: dict[str, Any] | None = None, **changes: Any) -> Plan:
    return compose_file(manifest_of(desk, source, options, **changes), [], Plugins.discover())


def read_of(
    desk: Any, source: Path, options: dict[str, Any] | None = None, **changes: Any
) -> TaskData:
    """The rows of all splits, as a run reads them."""
    return read(
        plan_of(desk, source, options, **changes), Display(), ("train", "validation", "test")
    )


def names_by_split(data: TaskData, split: str) -> list[str]:
    """The label of each row of a split, by name."""
    taxonomy = data.taxonomies["own"]
    assert taxonomy is not None
    return [taxonomy.names[target] for target in data.rows("own", split).targets.tolist()]


def scores_by_training_and_eval(run: Run) -> tuple[Any, Any]:
    """The validation metrics of the best checkpoint as training kept them, and as the reopened run
    gives them.
    """
    (kept,) = [entry for entry in run.scores() if entry["which"] == "best"]
    trained = open_trained(run.folder, "best", Plugins.discover(), "cpu")
    found, _, _ = trained.evaluate("validation", keep_predictions=False)
    return kept["tasks"]["own"]["metrics"], found["own"].metrics


@pytest.mark.parametrize(
    ("ending", "code"), [("jsonl", int), ("parquet", int), ("csv", int), ("jsonl", float)]
)
def test_numbers_as_labels_score_alike_after_reopening(desk: Any, ending: str, code: Any) -> None:
    rows = [{**row, "label": code(CODES[row["label"]])} for row in moods(desk)]
    run = desk.train(manifest_of(desk, write(desk.folder / f"own.{ending}", rows)))
    table = run.manifest.tasks["own"]
    assert table.learned_labels == ("10", "2", "9")
    assert "labels" not in table.options
    in_training, by_eval = scores_by_training_and_eval(run)
    assert by_eval == in_training
    assert in_training["macro_f1"] > 0.6


def test_a_run_reads_numbers_of_another_format_as_its_own(desk: Any) -> None:
    rows = [{**row, "label": CODES[row["label"]]} for row in moods(desk)]
    run = desk.train(manifest_of(desk, write(desk.folder / "own.jsonl", rows)))
    in_training, _ = scores_by_training_and_eval(run)
    gaps = write(desk.folder / "own.csv", [{**row, "label": float(row["label"])} for row in rows])
    trained = open_trained(run.folder, "best", Plugins.discover(), "cpu")
    found, _, _ = trained.evaluate(
        "validation", sources={"own": str(gaps)}, allow_changed=True, keep_predictions=False
    )
    assert found["own"].metrics == in_training


def test_a_manifest_with_learned_labels_trains_on_those(desk: Any) -> None:
    source = write(
        desk.folder / "own.jsonl", [{**row, "label": CODES[row["label"]]} for row in moods(desk)]
    )
    data = read_of(desk, source, learned_labels=["2", "10", "9", "11"])
    assert data.taxonomies["own"].names == ("2", "10", "9", "11")
    with pytest.raises(EmomtlError, match="`learned_labels` are those of a task that learns them"):
        plan_of(desk, source, {"labels": ["2", "9", "10"]}, learned_labels=["2", "10", "9"])


@pytest.mark.parametrize("options", [{}, {"labels": ["2", "9", "10"], "label_format": "names"}])
def test_a_file_reads_alike_in_every_format(desk: Any, options: dict[str, Any]) -> None:
    texts = moods(desk)
    wanted = [str(CODES[row["label"]]) for row in texts if row["part"] == "validation"]
    writings: dict[str, Callable[[int], Any]] = {"jsonl": int, "csv": str, "parquet": float}
    for ending, written in writings.items():
        source = write(
            desk.folder / f"own.{ending}",
            [{**row, "label": written(CODES[row["label"]])} for row in texts],
        )
        assert names_by_split(read_of(desk, source, options), "validation") == wanted, ending


@pytest.mark.parametrize(("ending", "written"), [("jsonl", int), ("csv", str)])
def test_numbers_beside_given_labels_are_refused_in_every_format(
    desk: Any, ending: str, written: Any
) -> None:
    codes = dict(zip(MOODS, (1, 0, 2), strict=True))
    source = write(
        desk.folder / f"own.{ending}",
        [{**row, "label": written(codes[row["label"]])} for row in moods(desk)],
    )
    with pytest.raises(EmomtlError) as refused:
        read_of(desk, source, {"labels": ["joy", "anger", "sadness"]})
    (problem,) = refused.value.problems
    assert problem.place == "tasks.own.options"
    assert "could be a position in `options.labels`, or a code of its own, first" in problem.found
    assert 'label_format = "indices"' in problem.remedy
    assert problem.line == 2 - (ending == "jsonl")
    names = {"0": "anger", "1": "joy", "2": "sadness"}
    data = read_of(desk, source, {"labels": list(MOODS), "label_names": names})
    assert names_by_split(data, "test") == [
        row["label"] for row in moods(desk) if row["part"] == "test"
    ]


def test_an_ambiguous_label_is_never_skipped(desk: Any) -> None:
    rows = [
        {**row, "label": -1 if place % 7 == 0 else CODES[row["label"]]}
        for place, row in enumerate(moods(desk))
    ]
    plan = plan_of(desk, write(desk.folder / "own.jsonl", rows))
    skipping = plan.manifest.model_copy(
        update={"data": plan.manifest.data.model_copy(update={"on_bad_row": "skip"})}
    )
    from dataclasses import replace

    with pytest.raises(
        EmomtlError, match="a negative number could be a code for no label, or a label"
    ):
        read(replace(plan, manifest=skipping), Display(), ("train", "validation"))
    data = read_of(desk, desk.folder / "own.jsonl", {"missing": [-1]})
    assert data.taxonomies["own"].names == ("10", "2", "9")
    assert "14 row(s) with a value of `options.missing`, which has no label" in "\n".join(
        data.notes
    )


def test_what_was_assumed_is_said_with_counts(desk: Any, cli: Any) -> None:
    rows = [{**row, "label": CODES[row["label"]]} for row in moods(desk)]
    rows[0]["label"] = ""
    source = write(desk.folder / "own.jsonl", rows)
    said = cli("check", manifest_of(desk, source), "--no-step")
    assert said.code == 0
    assert (
        "own: 1 row(s) with an empty label cell, which means unknown (`options.empty` says"
        " otherwise)" in said.err
    )
    assert "95 row(s) whose labels are numbers, read as names" in said.err


def topics(desk: Any, empty: str | None) -> list[dict[str, str]]:
    """The rows of `mood` of which every third has the label cell `empty`, where one is given."""
    rows = moods(desk)
    return [
        {**row, "label": empty} if empty is not None and place % 3 == 0 else row
        for place, row in enumerate(rows)
    ]


MULTI = {"use": "multi-label"}


@pytest.mark.parametrize("head", ["multi-label", "single-label"])
def test_many_empty_label_cells_are_refused_with_counts(desk: Any, head: str) -> None:
    source = write(desk.folder / "own.csv", topics(desk, ""))
    with pytest.raises(EmomtlError) as refused:
        read_of(desk, source, head={"use": head})
    assert [problem.place for problem in refused.value.problems] == ["tasks.own.options.empty"] * 3
    assert refused.value.problems[0].found.startswith(
        "16 of 48 train rows have an empty label cell"
    )
    data = read_of(desk, source, {"empty": "unknown"}, head={"use": head})
    assert "32 row(s) with an empty label cell: unknown, as `options.empty` says" in "\n".join(
        data.notes
    )


@pytest.mark.parametrize(
    ("empty", "options"),
    [("", {"empty": "none"}), ("[]", {}), ("NA", {"missing": ["NA"], "empty": "none"})],
)
def test_a_row_may_say_that_no_label_holds(desk: Any, empty: str, options: dict[str, Any]) -> None:
    data = read_of(desk, write(desk.folder / "own.csv", topics(desk, empty)), options, head=MULTI)
    targets = data.rows("own", "train").targets
    assert len(targets) == 48
    assert int((targets.sum(axis=1) == 0).sum()) == 16


def test_an_empty_list_says_that_no_label_holds(desk: Any) -> None:
    rows: list[dict[str, Any]] = [
        {**row, "label": [row["label"]] if row["label"] else []} for row in topics(desk, "")
    ]
    for ending in ("jsonl", "parquet"):
        targets = (
            read_of(desk, write(desk.folder / f"own.{ending}", rows), head=MULTI)
            .rows("own", "train")
            .targets
        )
        assert int((targets.sum(axis=1) == 0).sum()) == 16


def test_a_split_that_was_published_without_labels_is_not_ambiguous(desk: Any) -> None:
    rows = [{**row, "label": "" if row["part"] == "test" else row["label"]} for row in moods(desk)]
    data = read_of(desk, write(desk.folder / "own.csv", rows))
    assert (data.rows("own", "test").targets == -100).all()


def test_eval_says_how_many_rows_it_does_not_score(desk: Any, cli: Any) -> None:
    source = write(desk.folder / "own.csv", topics(desk, ""))
    run = desk.train(manifest_of(desk, source, {"empty": "unknown"}))
    said = cli("eval", run.folder)
    assert "own: 8 of 24 rows have no label and are not scored" in said.err
    entry = run.scores()[-1]["tasks"]["own"]
    assert (entry["rows"], entry["unlabelled"]) == (16, 8)


def shares(desk: Any) -> list[dict[str, Any]]:
    """The rows of `mood` with a column for each label: 0.8 for the row's own, 0.1 for the two
    others.
    """
    return [
        row | {name: 0.8 if name == row["label"] else 0.1 for name in MOODS} for row in moods(desk)
    ]


@pytest.mark.parametrize(
    "form",
    ["columns.csv", "columns.parquet", "struct.parquet", "table.jsonl", "text.csv", "list.jsonl"],
)
def test_soft_labels_of_one_label_are_read_from_every_format(desk: Any, form: str) -> None:
    rows, options = shares(desk), {"label_format": "distribution"}
    how, _, ending = form.partition(".")
    soft = [{name: row[name] for name in MOODS} for row in rows]
    if how == "columns":
        options |= {"label": list(MOODS)}
    elif how == "list":
        options |= {"labels": list(MOODS)}
        rows = [row | {"label": list(one.values())} for row, one in zip(rows, soft, strict=True)]
    else:
        rows = [
            row | {"label": json.dumps(one) if how == "text" else one}
            for row, one in zip(rows, soft, strict=True)
        ]
    data = read_of(
        desk, write(desk.folder / f"own.{ending}", rows), options, head={"use": "single-label"}
    )
    targets, taxonomy = data.rows("own", "test").targets, data.taxonomies["own"]
    assert taxonomy is not None
    assert targets.shape == (24, 3)
    wanted = [[row[name] for name in taxonomy.names] for row in rows if row["part"] == "test"]
    assert targets == pytest.approx(np.array(wanted, np.float32))


def test_a_single_label_head_learns_from_soft_labels(desk: Any, cli: Any) -> None:
    source = write(desk.folder / "own.csv", shares(desk))
    options = {"label": list(MOODS), "label_format": "distribution"}
    run = desk.train(manifest_of(desk, source, options, head={"use": "single-label"}))
    assert run.manifest.tasks["own"].head.options["soft"] is True
    in_training, by_eval = scores_by_training_and_eval(run)
    assert by_eval == in_training
    assert in_training["macro_f1"] > 0.6
    assert (
        "soft labels: metrics are taken against the label with the largest share"
        in cli("eval", run.folder).err
    )


def test_columns_of_zeros_and_ones_are_labels_and_no_regression(desk: Any) -> None:
    rows = [row | {name: int(name == row["label"]) for name in MOODS} for row in moods(desk)]
    source = write(desk.folder / "own.csv", rows)
    with pytest.raises(
        EmomtlError, match="several label columns could be labels or amounts, one or several a text"
    ):
        plan_of(desk, source, {"label": list(MOODS)})
    options = {"label": list(MOODS), "label_format": "one-hot-columns"}
    assert names_by_split(read_of(desk, source, options, head={"use": "single-label"}), "test") == [
        row["label"] for row in moods(desk) if row["part"] == "test"
    ]
    several = read_of(desk, source, options, head=MULTI)
    assert several.taxonomies["own"].names == MOODS
    assert several.rows("own", "test").targets.sum() == 24
    amounts = plan_of(desk, source, {"label": list(MOODS)}, head={"use": "regression"})
    assert amounts.tasks["own"].head.outputs(None) == MOODS


def test_rows_of_one_id_are_one_example(desk: Any) -> None:
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(moods(desk)):
        other = MOODS[(MOODS.index(row["label"]) + 1) % 3]
        rows += [
            row | {"item": place, "label": label} for label in (row["label"], row["label"], other)
        ]
    source = write(desk.folder / "own.csv", rows)
    wanted = [row["label"] for row in moods(desk) if row["part"] == "test"]
    majority = read_of(desk, source, {"id": "item", "aggregate": "majority"})
    assert names_by_split(majority, "test") == wanted
    assert len(majority.corpora[0].splits["test"].texts) == 24
    assert "144 train rows that became 48 example(s), one for each id" in "\n".join(majority.notes)
    mean = read_of(desk, source, {"id": "item", "aggregate": "mean", "labels": list(MOODS)})
    assert sorted(mean.rows("own", "test").targets[0].tolist()) == pytest.approx([0, 1 / 3, 2 / 3])
    every = read_of(desk, source, {"id": "item", "aggregate": "any"}, head=MULTI)
    assert (every.rows("own", "test").targets.sum(axis=1) == 2).all()


def test_spellings_that_differ_are_named_with_counts(desk: Any, cli: Any) -> None:
    odd = {0: "Joy", 1: "joy.", 2: "joy\u200b", 3: "JOY", 4: "joy"}
    rows = [{**row, "label": odd.get(place, row["label"])} for place, row in enumerate(moods(desk))]
    joys = sum(row["label"] == "joy" for row in rows) + 1
    source = write(desk.folder / "own.csv", rows)
    manifest = manifest_of(desk, source)
    said = cli("check", manifest, "--no-step").err
    assert (
        f"labels that differ only in spelling: 'JOY' (1), 'Joy' (1), 'joy' ({joys}), 'joy.' (1)"
        in said
    )
    assert "1 row(s) whose label was trimmed of invisible characters" in said
    found = json.loads(cli("data", "audit", manifest, "--no-noise", "--no-near", "--json").out)[
        "findings"
    ]
    (spelt,) = [one for one in found if one["kind"] == "label-spellings"]
    assert spelt["found"] == f"4 labels differ only in spelling: JOY 1, Joy 1, joy {joys}, joy. 1"
    folded = read_of(desk, source, {"fold_case": True, "label_names": {"joy.": "joy"}})
    assert folded.taxonomies["own"].names == ("anger", "joy", "sadness")


def test_labels_that_look_like_several_are_named(desk: Any) -> None:
    rows = [
        {**row, "label": "joy, anger" if place < 4 else row["label"]}
        for place, row in enumerate(moods(desk))
    ]
    notes = "\n".join(read_of(desk, write(desk.folder / "own.csv", rows)).notes)
    assert (
        "1 label(s) in 4 row(s) look like several, such as 'joy, anger'; `options.separator ="
        ' ","`' in notes
    )


def with_disgust_in_test(desk: Any) -> tuple[Path, list[dict[str, Any]]]:
    """The rows of `mood` in which two test rows have a label that no training row has."""
    rows: list[dict[str, Any]] = moods(desk)
    for row in [row for row in rows if row["part"] == "test"][:2]:
        row["label"] = "disgust"
    return write(desk.folder / "own.csv", rows), rows


def test_check_finds_a_label_that_stands_only_in_test(desk: Any, cli: Any) -> None:
    source, _ = with_disgust_in_test(desk)
    said = cli("check", manifest_of(desk, source), "--no-step")
    assert said.code == 1
    assert "own: test row" in said.err
    assert "unknown label 'disgust' (no training row has it" in said.err
    allowed = cli(
        "check", manifest_of(desk, source), "--no-step", "--set", 'data.unseen_labels="wrong"'
    )
    assert allowed.code == 0
    assert (
        "test has 1 label(s) that the model does not have: 'disgust'; such rows count as wrong"
        in allowed.err
    )


@pytest.mark.parametrize("head", ["single-label", "multi-label"])
def test_an_allowed_unseen_label_counts_as_wrong(desk: Any, cli: Any, head: str) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    source, rows = with_disgust_in_test(desk)
    run = desk.train(manifest_of(desk, source, head={"use": head}))
    refused = cli("eval", run.folder, "--split", "test")
    assert refused.code == 1
    assert "unknown label 'disgust'" in refused.err
    assert "--unseen-labels wrong` counts such rows as wrong" in refused.err
    said = cli("eval", run.folder, "--split", "test", "--unseen-labels", "wrong", "--json")
    assert said.code == 0, said.err
    assert (
        "own: 2 row(s) count as wrong: the model does not have their label ('disgust')" in said.err
    )
    metrics = json.loads(said.out)["tasks"]["own"]
    (entry,) = [entry for entry in run.scores() if entry["split"] == "test"]
    assert entry["tasks"]["own"]["rows"] == 24
    texts = [row["text"] for row in rows if row["part"] == "test"]
    truth = [row["label"] for row in rows if row["part"] == "test"]
    answers = [
        json.loads(line)["own"]["labels"]
        for line in cli("predict", run.folder, "--json", *texts).out.splitlines()
    ]
    if head == "single-label":
        told = [labels[0] for labels in answers]
        assert metrics["top1_accuracy"] == pytest.approx(accuracy_score(truth, told))
        assert metrics["macro_f1"] == pytest.approx(
            f1_score(truth, told, average="macro", zero_division=0)
        )
    else:
        assert metrics["subset_accuracy"] == pytest.approx(
            sum([t] == a for t, a in zip(truth, answers, strict=True)) / 24
        )


def test_rows_that_are_skipped_are_counted_in_the_scores(desk: Any, cli: Any) -> None:
    source, _ = with_disgust_in_test(desk)
    text = source.read_text(encoding="utf-8")
    run = desk.train(manifest_of(desk, source), overrides=['data.on_bad_row="skip"'])
    said = cli("eval", run.folder, "--split", "test")
    assert said.code == 0
    assert "own: 2 bad row(s) are left out of the score" in said.err
    (entry,) = [entry for entry in run.scores() if entry["split"] == "test"]
    assert (entry["tasks"]["own"]["rows"], entry["tasks"]["own"]["left_out"]) == (22, 2)
    assert source.read_text(encoding="utf-8") == text


def raw_rows(desk: Any) -> list[dict[str, Any]]:
    """Rows as GoEmotions publishes its raw ones: one a rater, a column a label, and one that says
    what is unclear.
    """
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(moods(desk)):
        for rater in range(3):
            unclear = place % 8 == 0 and rater == 2
            marks = {mood: int(mood == row["label"] and not unclear) for mood in MOODS}
            rows.append(
                {
                    "text": row["text"],
                    "part": row["part"],
                    "id": f"e{place}",
                    "author": "somebody",
                    "rater_id": rater + place % 2,
                    "example_very_unclear": str(unclear),
                    **marks,
                }
            )
    return rows


RAW: dict[str, Any] = {
    "label": list(MOODS),
    "label_format": "one-hot-columns",
    "id": "id",
    "rater": "rater_id",
    "unclear": "example_very_unclear",
}


def test_the_raw_layout_of_goemotions_is_read_and_counted(desk: Any) -> None:
    rows = raw_rows(desk)
    rows.append(dict(rows[0]))  # the first rater labels the first item again
    source = write(desk.folder / "own.csv", rows)
    wanted = [row["label"] for row in moods(desk) if row["part"] == "test"]
    majority = read_of(desk, source, {**RAW, "aggregate": "majority"}, head=MULTI)
    assert [MOODS[int(row.argmax())] for row in majority.rows("own", "test").targets] == wanted
    notes = "\n".join(majority.notes)
    unclear = sum(row["example_very_unclear"] == "True" for row in rows)
    assert f"{unclear} row(s) that their rater found unclear" in notes
    assert "145 train rows that became 48 example(s), one for each id (3 to 4 rows each)" in notes
    assert "4 raters of train" in notes
    assert "1 train rows in which a rater labels an item again" in notes


def test_votes_of_raters_train_a_single_label_head_softly(desk: Any) -> None:
    rows = raw_rows(desk)
    for row in rows[::3]:  # one of three raters always says anger
        row |= {mood: int(mood == "anger") for mood in MOODS}
    source = write(desk.folder / "own.csv", rows)
    data = read_of(desk, source, {**RAW, "aggregate": "mean"}, head={"use": "single-label"})
    targets = data.rows("own", "train").targets
    assert targets.shape[1] == len(MOODS)
    assert targets.sum(axis=1) == pytest.approx(np.ones(len(targets)))
    shares = {round(share, 3) for share in targets[:, MOODS.index("anger")].tolist()}
    assert shares <= {0.333, 0.5, 1.0}

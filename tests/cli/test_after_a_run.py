"""`eval`, `predict` and their files: what goes in, what comes out, and what is counted."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

TEXTS = ["so happy today", "NA", "null", "None", "nan", "[/foo]", "[bold]x[/bold]", "", "😀 naïve"]


def test_eval_scores_validation_by_default_and_counts_every_look(cli: Any, copied: Path) -> None:
    best, last = (
        next(path.resolve().name for path in (copied / "checkpoints").glob(which))
        for which in ("best", "last")
    )
    counts: dict[str, int] = {}
    for split, checkpoint in [("test", "best"), ("test", "best"), ("test", "last")]:
        said = cli("eval", copied, "--split", split, "--checkpoint", checkpoint, "--json")
        assert said.code == 0, said.err
        found = json.loads(said.out)
        assert set(found) == {"run", "split", "tasks"}
        assert set(found["tasks"]) == {"mood", "topics"}
        assert "subset_accuracy" in found["tasks"]["topics"]
        name = {"best": best, "last": last}[checkpoint]
        counts[name] = counts.get(name, 0) + 1
        assert f"look number {counts[name]} of {name} at test" in said.err
    entries = [
        entry
        for entry in json.loads((copied / "scores.json").read_text())["evaluations"]
        if entry["by"] == "eval"
    ]
    assert [entry["look"] for entry in entries if entry["which"] == "best"] == [1, 2]
    plain = cli("eval", copied, "--labels")
    assert plain.code == 0
    assert "validation" in plain.out
    assert "labels on validation" in plain.out


def test_eval_gives_the_figures_that_training_kept(cli: Any, copied: Path) -> None:
    kept = json.loads((copied / "scores.json").read_text())["evaluations"]
    for which in ("best", "last"):
        found = json.loads(cli("eval", copied, "--checkpoint", which, "--json").out)["tasks"]
        (entry,) = [entry for entry in kept if entry["which"] == which and entry["by"] == "train"]
        assert found == {task: scores["metrics"] for task, scores in entry["tasks"].items()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "mod"], "--task: 'mod' is no task of this run (did you mean 'mood'?)"),
        (["--source", "mood"], "--source: 'mood' is not TASK=PATH"),
        (["--source", "mod=x"], "'mod' is no task of this run"),
        (["--checkpoint", "7"], "no checkpoint '7' (known: "),
        (
            ["--source", "mood=/no/such/file.csv"],
            "tasks.mood.source: 'file.csv' is missing (/no/such is not there, either)",
        ),
    ],
)
def test_what_eval_does_not_know_is_one_message(
    cli: Any, copied: Path, arguments: list[str], said: str
) -> None:
    found = cli("eval", copied, *arguments)
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_eval_refuses_other_rows_unless_allowed(cli: Any, copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(
        "text,label,part\nhappy,joy,validation\nangry,anger,validation\nsad,sadness,train\n"
    )
    arguments = ["eval", copied, "--task", "mood", "--source", f"mood={other}"]
    refused = cli(*arguments)
    assert refused.code == 1
    assert "the corpus is not the one that the run was trained on" in refused.err
    allowed = cli(*arguments, "--allow-changed", "data", "--json")
    assert allowed.code == 0
    assert set(json.loads(allowed.out)["tasks"]) == {"mood"}


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_answered_and_printed_as_it_is(cli: Any, trained: Any, text: str) -> None:
    said = cli("predict", trained.folder, "--", text)
    assert said.code == 0, said.err
    assert said.out.splitlines()[0].rstrip() == text
    found = json.loads(cli("predict", trained.folder, "--json", "--task", "mood", "--", text).out)
    assert set(found) == {"mood"}
    assert sum(found["mood"]["probabilities"].values()) == pytest.approx(1)


def test_predict_reads_lines_from_stdin_one_answer_each(
    cli: Any, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = "\n".join([*TEXTS, "cut"]).encode() + b" \xff\xfe bytes\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
    said = cli("predict", trained.folder, "--json")
    assert said.code == 0, said.err
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert len(answers) == len(TEXTS) + 1
    one = json.loads(cli("predict", trained.folder, "--json", TEXTS[0]).out)
    assert answers[0]["mood"]["probabilities"] == pytest.approx(
        one["mood"]["probabilities"], abs=1e-5
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_is_answered_row_by_row_in_any_format(
    cli: Any, trained: Any, tmp_path: Path, ending: str
) -> None:
    import pyarrow

    content = [{"n": str(i), "review": text} for i, text in enumerate(TEXTS)]
    source, out = (
        tmp_path / f"in.{ending}",
        tmp_path / f"out.{'csv' if ending == 'parquet' else 'parquet'}",
    )
    if ending == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(content), source)
    elif ending == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    else:
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, ["n", "review"], delimiter="\t" if ending == "tsv" else ","
            )
            writer.writeheader()
            writer.writerows(content)
    for target in (out, tmp_path / f"same.{ending}"):
        said = cli("predict", trained.folder, source, "--out", target, "--text", "review", "--keep")
        assert said.code == 0, said.err
        found = rows_of(target)
        assert [row["review"] for row in found] == TEXTS
        assert [row["n"] for row in found] == [str(i) for i in range(len(TEXTS))]
        for row in found:
            best = max(("joy", "anger", "sadness"), key=lambda name: float(row[f"mood:{name}"]))
            assert row["mood"] == best
            above = [
                name
                for name in ("joy", "anger", "sadness", "fear")
                if float(row[f"topics:{name}"]) >= 0.5
            ]
            assert sorted(filter(None, row["topics"].split("|"))) == sorted(above)
    said = cli(
        "predict", trained.folder, source, "--out", out, "--text", "review", "--task", "mood"
    )
    assert said.code == 0
    assert set(rows_of(out)[0]) == {"mood", "mood:joy", "mood:anger", "mood:sadness"}
    assert not list(tmp_path.glob(".*part"))


def test_predictions_at_a_grouping_agree_with_those_at_the_labels(desk: Any, cli: Any) -> None:
    plugin = """
from emomtl import Example, Files, MultiLabel, SingleLabel, Task, Taxonomy, hookimpl
from emomtl.contracts.taxonomy import Grouping
FINE = Taxonomy(["joy", "anger", "sadness", "fear"], [Grouping("side", {"good": ("joy",), "bad": ("anger", "sadness", "fear")})])

def read(row):
    return Example(row["text"], row["label"].split("|"))

def first(row):
    return Example(row["text"], row["label"].split("|")[0])

@hookimpl
def emomtl_tasks():
    files = Files("*", split_column="part")
    return [Task("sides", files, read, FINE, head=MultiLabel()), Task("side", files, first, FINE, head=SingleLabel())]
"""
    (desk.folder / "sides.py").write_text(plugin)
    tasks = {
        "mood": None,
        "topics": None,
        "sides": {"source": "topics.csv"},
        "side": {"source": "topics.csv"},
    }
    manifest = desk.manifest(
        plugins=["./sides.py"],
        tasks=tasks,
        eval={"select": "sides/side/macro_f1"},
        train={"steps": 12},
    )
    run = desk.train(manifest)
    out = cli("predict", run.folder, "--json", "--trust-plugins", *TEXTS[:5]).out
    for line in out.splitlines():
        answer = json.loads(line)
        fine, coarse = answer["sides"], answer["sides"]["groupings"]["side"]
        assert coarse["probabilities"]["bad"] == max(
            fine["probabilities"][name] for name in ("anger", "sadness", "fear")
        )
        parents = {"good" if name == "joy" else "bad" for name in fine["labels"]}
        assert set(coarse["labels"]) == parents
        single = answer["side"]["groupings"]["side"]["probabilities"]
        assert single["good"] == pytest.approx(answer["side"]["probabilities"]["joy"])
        assert sum(single.values()) == pytest.approx(1)
    assert "side:" in cli("predict", run.folder, TEXTS[0], "--trust-plugins").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["in.csv", "--out", "out.xlsx"],
            "--out: 'out.xlsx' has no known ending (one of .csv, .tsv, .jsonl, .parquet)",
        ),
        (["in.csv", "--out", "no/such/out.csv"], "its folder does not exist"),
        (
            ["in.csv", "--out", "out.csv", "--text", "txt"],
            "--text: in.csv has no column 'txt' (did you mean 'text'?)",
        ),
        (
            ["in.csv", "in.csv", "--out", "out.csv"],
            "--out: 2 inputs are given (name one file to read)",
        ),
        (["gone.csv", "--out", "out.csv"], "gone.csv"),
        (["taken.csv", "--out", "out.csv", "--keep"], "the input has a column 'mood' already"),
    ],
)
def test_what_predict_cannot_do_is_one_message_and_no_file(
    cli: Any,
    trained: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("text\nhappy\n")
    Path("taken.csv").write_text("text,mood\nhappy,x\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    found = cli("predict", trained.folder, *arguments)
    assert found.code == 1
    assert said in found.err
    assert [line for line in found.err.splitlines() if not line.startswith("note: ")] == [
        found.err.splitlines()[-1]
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == before

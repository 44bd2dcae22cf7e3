"""`emomtl lexicon`: built, shown and scored without an encoder, and a row of a report beside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emomtl import Run
from emomtl.report.collect import collect
from emomtl.report.tables import tables


@pytest.fixture
def built(desk: Any, cli: Any) -> Path:
    """A lexicon of the task `topics`."""
    path: Path = desk.folder / "topics.safetensors"
    said = cli(
        "lexicon", "build", desk.manifest(), "--task", "topics", "--out", path, "--min-rows", 2
    )
    assert said.code == 0, said.err
    assert f"wrote {path}" in said.err
    return path


def test_a_lexicon_is_built_again_byte_for_byte(desk: Any, cli: Any, built: Path) -> None:
    again = desk.folder / "again.safetensors"
    said = cli(
        "lexicon",
        "build",
        desk.manifest(),
        "--task",
        "topics",
        "--out",
        again,
        "--min-rows",
        2,
        "--json",
    )
    assert again.read_bytes() == built.read_bytes()
    told = json.loads(said.out)
    assert told["labels"] == ["anger", "fear", "joy", "sadness"]
    assert told["lambda"] == dict.fromkeys(told["labels"], 0.9)
    assert told["log_likelihood"]["last"] >= told["log_likelihood"]["first"]
    assert told["iterations"] > 0


def test_its_words_are_shown_by_label(cli: Any, built: Path) -> None:
    told = json.loads(cli("lexicon", "show", built, "--json", "--words", 4).out)
    joy = {entry["word"] for entry in told["labels"]["joy"]}
    assert joy & {"happy", "love", "wonderful", "friends", "birthday", "laughed", "best", "smiled"}
    assert all(len(found) <= 4 for found in told["labels"].values())
    assert "joy" in cli("lexicon", "show", built).out
    one = cli("lexicon", "show", built, "--label", "joy", "--words", 2).out
    assert told["labels"]["joy"][0]["word"] in one
    assert "anger" not in one


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_they_are_drawn_the_same_each_time(cli: Any, built: Path, ending: str) -> None:
    pictures = [built.parent / f"{name}.{ending}" for name in ("one", "two")]
    for path in pictures:
        assert cli("lexicon", "show", built, "--words", 5, "--figure", path).code == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert pictures[0].stat().st_size > 5_000


def test_a_report_shows_a_baseline_beside_a_run(desk: Any, cli: Any) -> None:
    manifest, out = desk.manifest(), desk.folder / "runs"
    desk.train(manifest, "runs/small")
    said = cli("lexicon", "baseline", manifest, "--task", "topics", "--out", out, "--json")
    assert said.code == 0, said.err
    figures = {entry["run"]: entry["tasks"]["topics"] for entry in json.loads(said.out)}
    assert list(figures) == ["topics-lexicon", "topics-pmi", "topics-tfidf"]
    found = tables(collect([out / "small", *(out / name for name in figures)]))
    runs, topics = (
        found[0],
        next(table for table in found if table.title.startswith("topics on validation")),
    )
    assert [row[0] for row in runs.rows] == ["small", *figures]
    assert "logistic regression on TF-IDF of words" in runs.rows[-1]
    assert runs.notes == ()
    assert not any(table.title.startswith("Single-task beside multi-task") for table in found)
    rows = {row[0]: row for row in topics.rows}
    assert set(rows) == {"small", *figures}
    place = topics.columns.index("macro_f1")
    assert {name: rows[name][place] for name in figures} == {
        name: one["macro_f1"] for name, one in figures.items()
    }


def test_a_baseline_counts_its_looks_at_test(desk: Any, cli: Any) -> None:
    manifest, out = desk.manifest(), desk.folder / "runs"
    call = ["lexicon", "baseline", manifest, "--features", "tfidf", "--out", out]
    assert cli(*call).code == 0
    for look in (1, 2):
        assert f"look number {look} at test" in cli(*call, "--split", "test").err
    entries = Run.open(out / "mood-tfidf").scores()
    assert [(entry["split"], entry["look"], entry["by"]) for entry in entries] == [
        ("validation", 1, "baseline"),
        ("test", 1, "baseline"),
        ("test", 2, "baseline"),
    ]
    assert entries[1]["tasks"] == entries[2]["tasks"]
    assert "Looks at test" in cli("report", out / "mood-tfidf", "--split", "test").out


def test_the_vocabulary_and_the_scores_hold_no_text(desk: Any, cli: Any, built: Path) -> None:
    first = (desk.folder / "topics.csv").read_text().splitlines()[1].split(",")[0]
    out = desk.folder / "runs"
    cli(
        "lexicon",
        "baseline",
        desk.manifest(),
        "--task",
        "topics",
        "--out",
        out,
        "--features",
        "lexicon",
    )
    files = [built, *(path for path in (out / "topics-lexicon").rglob("*") if path.is_file())]
    assert not [path for path in files if first.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["build", "small.toml", "--out", "x.toml"],
            "--out: 'x.toml' does not end in .safetensors",
        ),
        (
            ["build", "small.toml", "--out", "x.safetensors", "--share", "1.5"],
            "--share: '1.5' is no share (a number between 0",
        ),
        (
            ["build", "small.toml", "--out", "x.safetensors", "--task", "topic"],
            "--task: 'topic' is no task of this manifest",
        ),
        (
            ["build", "small.toml", "--out", "x.safetensors", "--background", "calm"],
            "background: there is no label 'calm'",
        ),
        (["show", "small.toml"], "small.toml: does not read"),
        (["show", "gone.safetensors"], "gone.safetensors: cannot be read"),
        (
            ["show", "topics.safetensors", "--label", "jo"],
            "--label: there is no label 'jo' (did you mean 'joy'?)",
        ),
        (
            ["show", "topics.safetensors", "--figure", "x.pdf"],
            "--figure: 'x.pdf' has no known ending (one of .png, .svg)",
        ),
        (
            ["baseline", "small.toml", "--features", "tfdf"],
            "--features: 'tfdf' is not known (did you mean 'tfidf'?)",
        ),
    ],
)
def test_what_cannot_be_done_is_one_message(
    desk: Any,
    cli: Any,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(desk.folder)
    found = cli("lexicon", *arguments)
    assert found.code == 1
    assert said in found.err
    assert found.out == ""


def test_a_folder_that_holds_another_run_is_refused(desk: Any, cli: Any) -> None:
    manifest, out = desk.manifest(), desk.folder / "runs"
    desk.train(manifest, "runs/mood-tfidf")
    said = cli("lexicon", "baseline", manifest, "--features", "tfidf", "--out", out)
    assert said.code == 1
    assert "holds another run, or this baseline on other rows" in said.err
    cli("lexicon", "baseline", manifest, "--features", "pmi", "--out", out)
    fewer = cli(
        "lexicon",
        "baseline",
        manifest,
        "--features",
        "pmi",
        "--out",
        out,
        "--set",
        "tasks.mood.limit=30",
    )
    assert "holds another run, or this baseline on other rows" in fewer.err


def test_a_task_of_numbers_has_no_baseline(desk: Any, cli: Any) -> None:
    lines = [
        "text,label,part",
        *(f"word {i},{i / 100},{'train' if i % 2 else 'validation'}" for i in range(40)),
    ]
    (desk.folder / "arousal.csv").write_text("\n".join(lines) + "\n")
    table = {
        "use": "table",
        "source": "arousal.csv",
        "options": {"split": "part"},
        "head": {"use": "regression"},
    }
    manifest = desk.manifest(tasks={"arousal": table})
    assert (
        "tasks.arousal: it answers with numbers"
        in cli("lexicon", "baseline", manifest, "--task", "arousal").err
    )
    out = desk.folder / "x.safetensors"
    assert (
        "a lexicon needs labels"
        in cli("lexicon", "build", manifest, "--task", "arousal", "--out", out).err
    )


def test_hindi_words_are_whole_and_thai_is_unsupported(desk: Any, cli: Any) -> None:
    words = {"joy": "खुश प्रेम", "anger": "क्रोध घृणा", "sadness": "दुखी अकेला"}
    thai = {"joy": "ดีใจ", "anger": "โกรธ", "sadness": "เศร้า"}
    for name, by_label in (("hindi", words), ("thai", thai)):
        lines = ["text,label,part"]
        for place in range(60):
            label = list(by_label)[place % 3]
            lines.append(
                f"{by_label[label]} {place},{label},{'train' if place < 45 else 'validation'}"
            )
        (desk.folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
        task = {"use": "table", "source": f"{name}.csv", "options": {"split": "part"}}
        features = {"words": {"use": "lexicon", "of": name, "min_rows": 2}}
        manifest = desk.manifest(
            name, tasks={"mood": None, "topics": None, name: task}, features=features
        )
        file = desk.folder / f"{name}.safetensors"
        note = "100% of the letters are Thai, whose words are not cut"
        for said, place in (
            (cli("lexicon", "build", manifest, "--out", file), name),
            (cli("check", manifest, "--no-step"), "features.words"),
            (cli("data", "audit", manifest), name),
        ):
            assert said.code == 0, said.err
            assert (f"note: {place}: {note}" in said.err) == (name == "thai"), said.err
        if name == "hindi":
            shown = json.loads(cli("lexicon", "show", file, "--json").out)["labels"]
            assert {entry["word"] for entry in shown["joy"]} == {"खुश", "प्रेम"}
            assert {entry["word"] for entry in shown["anger"]} == {"क्रोध", "घृणा"}

"""Manifests, rows and plugins as a user may get them wrong: exit code 1, a clear message, and
nothing on the disk has changed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

Refusing = Any
"""`Refusing` of conftest.py: runs a command that has to be refused, and gives its message."""

# -- accepted
# -----------------------------------------------------------------------------------------------------------

ODD = [
    "NA",
    "null",
    "None",
    "nan",
    "N/A",
    "[/foo]",
    "[bold red]",
    "'quoted",
    '"',
    "=1+1",
    "\\",
    "a,b",
    "😀",
]


def test_odd_texts_are_trained_on_predicted_and_printed_unchanged(desk: Any, cli: Any) -> None:
    import csv

    with (desk.folder / "mood.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [text, "joy", part] for text in ODD for part in ("train", "validation")
        )
    manifest = desk.manifest(train={"steps": 4}, tasks={"topics": None}, weighting={"use": "equal"})
    session = desk.begin(manifest, "looked-at")
    session.run.close()
    assert list(session.data.corpora[0].splits["train"].texts)[-len(ODD) :] == ODD
    assert cli("train", manifest, "--out", desk.folder / "run").code == 0
    said = cli("predict", desk.folder / "run", "--", *ODD)
    assert said.code == 0, said.err
    assert [line.rstrip() for line in said.out.splitlines() if not line.startswith("  ")] == ODD


def test_odd_texts_are_accepted_and_counted(desk: Any, cli: Any) -> None:
    rows = [
        {
            "text": f"happy {i}",
            "label": "joy" if i % 2 else "anger",
            "part": ["train", "validation"][i % 3 == 0],
        }
        for i in range(40)
    ]
    odd = ["cut \ud83d", "\udc00", "", "   ", "sad words " * 1_000_000]
    rows += [{"text": text, "label": "joy", "part": "train"} for text in odd]
    (desk.folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"use": "table", "source": "odd.jsonl", "options": {"split": "part", "test": 0.0}}
    manifest = desk.manifest(
        tasks={"odd": task, "mood": None, "topics": None},
        train={"steps": 2},
        weighting={"use": "equal"},
    )
    began = time.monotonic()
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert said.code == 0, said.err
    assert time.monotonic() - began < 20
    assert "note: odd: 2 texts with lone surrogates (replaced), 2 empty texts" in said.err
    assert (
        "note: odd: 1 train text(s) were so long that they were cut before tokenising" in said.err
    )
    began = time.monotonic()
    assert cli("predict", desk.folder / "run", "cut \ud83d", odd[-1]).code == 0
    assert time.monotonic() - began < 10


# -- manifests
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "name"),
        (b"\x00\xff\xfe\x89PNG" * 50, "wrong.toml"),
        (b"a = [" * 50_000, "wrong.toml"),
        (b"# " + b"x" * 10_000_000 + b"\nname = 3\n", "wrong.toml"),
        (b"name = " + b'"' + b"x" * 10_000_000 + b'"\n', "wrong.toml"),
        (b"name = 'a'\nname = 'b'\n", "wrong.toml"),
    ],
    ids=[
        "empty",
        "binary",
        "nested",
        "ten megabytes of comment",
        "ten megabytes of name",
        "a key twice",
    ],
)
@pytest.mark.parametrize("command", ["check", "train"])
def test_what_is_no_manifest_is_refused_quickly(
    desk: Any, refused: Refusing, content: bytes, said: str, command: str
) -> None:
    (desk.folder / "wrong.toml").write_bytes(content)
    before, began = refused.snapshot(desk.folder), time.monotonic()
    found = refused.cli(command, desk.folder / "wrong.toml")
    assert time.monotonic() - began < 5
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert len(found.err) < 2500
    assert refused.snapshot(desk.folder) == before


def test_a_missing_manifest_or_a_folder_is_refused(refused: Refusing, desk: Any) -> None:
    assert "gone.toml" in refused("train", desk.folder / "gone.toml")
    assert str(desk.folder) in refused("train", desk.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"encoder": {"use": "minilmm"}},
            "encoder 'minilmm' is not installed (did you mean 'minilm'?)",
        ),
        ({"tasks": {"mod": {}}}, "task 'mod' is not installed"),
        (
            {"tasks": {"mine": {"use": "tabel"}}},
            "task 'tabel' is not installed (did you mean 'table'?)",
        ),
        (
            {"sampler": {"use": "anneald"}},
            "sampler 'anneald' is not installed (did you mean 'annealed'?)",
        ),
        (
            {"weighting": {"use": "uncertinty"}},
            "weighting 'uncertinty' is not installed (did you mean 'uncertainty'?)",
        ),
        (
            {"eval": {"select": "mood/macro_f11"}},
            "task 'mood' has no metric 'macro_f11' (did you mean 'macro_f1'?)",
        ),
        (
            {"plugins": ["./gone.py"]},
            "gone.py is not a file (a plugin file is named relative to the manifest)",
        ),
        (
            {"plugins": ["emomtl-gone"]},
            "no installed distribution 'emomtl-gone' has emomtl plugins",
        ),
    ],
)
def test_an_unknown_name_has_its_line_and_a_suggestion(
    refused: Refusing, desk: Any, changes: dict[str, Any], said: str
) -> None:
    message = refused("train", desk.manifest(**changes), "--out", desk.folder / "run")
    assert said in message
    assert "small.toml:" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": {"use": "./" + "n" * 5_000}},
        {"plugins": ["./" + "n" * 5_000 + ".py"]},
        {"start": {"run": "n" * 5_000}},
        {"tasks": {"n" * 5_000: {}}},
        {"tasks": {"mood": {"source": "n" * 5_000}}},
        {"eval": {"select": "n" * 5_000}},
    ],
    ids=["encoder", "plugins", "start", "tasks", "source", "select"],
)
def test_a_name_without_end_is_refused_by_one_short_line(
    refused: Refusing, desk: Any, changes: dict[str, Any]
) -> None:
    message = refused("train", desk.manifest(**changes), "--out", desk.folder / "run")
    assert "nnnn" in message
    assert len(message) < 2_000


def test_a_path_that_is_too_long_is_no_traceback(refused: Refusing, desk: Any) -> None:
    for command in ("report", "eval", "study"):
        assert "longer than the system takes" in refused(command, "n" * 5_000)


# -- rows
# ---------------------------------------------------------------------------------------------------------------


def wrong_rows(desk: Any, content: bytes, name: str = "wrong.csv", **table: Any) -> Path:
    """A manifest whose task `wrong` reads this content."""
    (desk.folder / name).write_bytes(content)
    task = {"use": "table", "source": name, **table}
    manifest: Path = desk.manifest(
        tasks={"wrong": task, "mood": None, "topics": None}, weighting={"use": "equal"}
    )
    return manifest


GOOD = b"".join(b"text %d,%s\n" % (i, b"joy" if i % 2 else b"anger") for i in range(40))


@pytest.mark.parametrize(
    ("content", "name", "place"),
    [
        (b"text,label\n" + GOOD + b"nul \x00 here,joy\n", "wrong.csv", ":42:"),
        (b"text\tlabel\n" + GOOD.replace(b",", b"\t") + b'"open\tjoy\n', "wrong.tsv", ":42:"),
        (
            b"text,label\n" + GOOD + b"caf\xe9,joy\n",
            "wrong.csv",
            "not utf-8: byte e9 at offset 524",
        ),
        (b"text,label\n" + b"one,two,joy\n" + GOOD, "wrong.csv", ":2:"),
        (b'{"text": "a", "label": "joy"}\n{"text": \n', "wrong.jsonl", ":2:"),
    ],
    ids=["NUL", "unbalanced quotes", "not UTF-8", "a field too many", "cut JSON"],
)
def test_a_damaged_file_is_named_with_its_line(
    refused: Refusing, desk: Any, content: bytes, name: str, place: str
) -> None:
    # what is seen before any row is read comes with the layouts that were tried
    located = b"\xe9" in content
    message = refused(
        "train",
        wrong_rows(desk, content, name),
        "--out",
        desk.folder / "run",
        problems=2 if located else 1,
    )
    assert name in message
    assert place in message


def test_unknown_labels_have_their_line_and_a_suggestion(refused: Refusing, desk: Any) -> None:
    content = b"text,label\n" + GOOD + b"odd one,joyy\n"
    options = {"labels": ["joy", "anger"], "validation": 0.2, "test": 0.2}
    message = refused(
        "train", wrong_rows(desk, content, options=options), "--out", desk.folder / "run"
    )
    assert "wrong.csv:42" in message
    assert "unknown label 'joyy' (did you mean 'joy'?)" in message


@pytest.mark.parametrize("value", ["nan", "inf", "high"])
def test_a_regression_target_that_is_no_finite_number_is_refused(
    refused: Refusing, desk: Any, value: str
) -> None:
    content = (
        b"text,score\n"
        + b"".join(b"text %d,%d.5\n" % (i, i) for i in range(40))
        + f"odd one,{value}\n".encode()
    )
    manifest = wrong_rows(desk, content, options={"label": "score"}, head={"use": "regression"})
    message = refused("train", manifest, "--out", desk.folder / "run")
    assert "wrong.csv:42" in message
    assert "not a finite number (leave it empty where it is unknown)" in message


@pytest.mark.parametrize(
    ("head", "label", "said"),
    [
        ("single-label", "j" * 10**6, "unknown label 'jjjj"),
        ("single-label", ["joy", "j" * 10**6], "label ['joy', 'jjjj"),
        ("multi-label", {"j" * 10**6: 2}, "label 'jjjj"),
        ("multi-label", {"joy": "j" * 10**6}, "label 'joy' has the value 'jjjj"),
        ("multi-label", 0.5, "the number 0.5 is none of the labels"),
        ("regression", "j" * 10**6, "jjjj…, not a finite number"),
        ("regression", list(range(200_000)), "target [0.0, 1.0"),
    ],
)
def test_a_label_of_a_megabyte_is_shown_in_a_line(
    refused: Refusing, desk: Any, head: str, label: Any, said: str
) -> None:
    wrong = json.dumps({"text": "odd one", "score": label}).encode()
    names = [1.0, 2.0] if head == "regression" else ["joy", "anger"]
    content = (
        b"".join(
            b'{"text": "text %d", "score": %s}\n' % (i, json.dumps(names[i % 2]).encode())
            for i in range(40)
        )
        + wrong
    )
    options = {"label": "score", "test": 0.0} | ({} if head == "regression" else {"labels": names})
    manifest = wrong_rows(desk, content, "wrong.jsonl", options=options, head={"use": head})
    message = refused("train", manifest, "--out", desk.folder / "run")
    assert "wrong.jsonl:41" in message
    assert said in message
    assert len(message) < 2_000


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("folder.csv", "the folder 'folder.csv' fits no layout of this task"),
        ("gone.csv", "'gone.csv' is missing"),
        ("empty.csv", "the file is empty"),
        ("header.csv", "tasks.mood: no training rows"),
    ],
)
def test_a_source_that_holds_no_rows_is_refused(
    refused: Refusing, desk: Any, source: str, said: str
) -> None:
    (desk.folder / "folder.csv").mkdir()
    (desk.folder / "empty.csv").touch()
    (desk.folder / "header.csv").write_text("text,label,part\n")
    manifest = desk.manifest(tasks={"mood": {"source": source}})
    problems = 2 if source in ("folder.csv", "empty.csv") else 1
    assert said in refused("train", manifest, "--out", desk.folder / "run", problems=problems)


def test_a_task_without_validation_rows_makes_no_folder(refused: Refusing, desk: Any) -> None:
    content = "".join(
        line
        for line in (desk.folder / "mood.csv").read_text().splitlines(True)
        if "validation" not in line
    )
    (desk.folder / "mood.csv").write_text(content)
    message = refused(
        "train",
        desk.manifest(tasks={"mood": {"options": {"validation": 0.0}}}),
        "--out",
        desk.folder / "run",
    )
    assert "tasks.mood: no validation rows" in message


READER = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def read(row):
    if row["text"].endswith(" 15"):
        raise ValueError("cannot read this one")
    return Example(row["text"], row["label"])

@hookimpl
def emomtl_tasks():
    files = Files("*", split_column="part")
    return [Task("mine", files, read, Taxonomy(["joy", "anger", "sadness"]), head=SingleLabel())]
"""


def test_a_plugin_whose_read_raises_is_named_with_the_row(refused: Refusing, desk: Any) -> None:
    (desk.folder / "mine.py").write_text(READER)
    tasks = {"mine": {"source": "mood.csv"}, "mood": None, "topics": None}
    message = refused(
        "train", desk.manifest(plugins=["./mine.py"], tasks=tasks), "--out", desk.folder / "run"
    )
    assert (
        "mood.csv:17: mine: train row 17: `read` raised ValueError: cannot read this one" in message
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no luck')", "does not import: RuntimeError: no luck"),
        (
            "from emomtl import hookimpl\n@hookimpl\ndef emomtl_smaplers(): return {}\n",
            "unknown hook 'emomtl_smaplers'",
        ),
        ("this is no Python", "does not import: SyntaxError"),
    ],
)
def test_a_plugin_file_that_is_broken_is_named(
    refused: Refusing, desk: Any, source: str, said: str
) -> None:
    (desk.folder / "mine.py").write_text(source)
    message = refused("train", desk.manifest(plugins=["./mine.py"]), "--out", desk.folder / "run")
    assert said in message
    assert "mine.py" in message

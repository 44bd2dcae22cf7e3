"""`emomtl predict`: files are read as the run's tasks read theirs, data stay as they are, and
nothing is guessed in silence.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

TEXTS = ["so happy today", "angry and awful", "sad and lonely"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def only_mood(desk: Any, **changes: Any) -> Path:
    """A manifest of one task over `mood`, whose table is changed."""
    table = {"use": "table", "source": "mood.csv", "options": {"split": "part"}} | changes
    path: Path = desk.manifest(
        tasks={"topics": None, "mood": table}, train={"steps": 60, "lr": 3e-3}, eval={"every": 60}
    )
    return path


def one_answer(cli: Any, run: Any, text: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(cli("predict", run, "--json", "--task", "mood", text).out)[
        "mood"
    ]["probabilities"]
    return found


@pytest.fixture(scope="module")
def semicolons(make_desk: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose table has semicolons, latin-1, no header, and the columns label, review, part."""
    desk = make_desk(tmp_path_factory.mktemp("semicolons"))
    lines = [line.split(",") for line in (desk.folder / "mood.csv").read_text().splitlines()[1:]]
    content = "".join(f"{label};{text} caf\u00e9;{part}\n" for text, label, part in lines)
    (desk.folder / "mood.csv").write_text(content, encoding="latin-1")
    options = {
        "split": "part",
        "text": "review",
        "columns": ["label", "review", "part"],
        "header": False,
        "delimiter": ";",
        "encoding": "latin-1",
    }
    return desk.train(only_mood(desk, options=options))


def test_a_file_is_read_as_the_run_read_its_own(cli: Any, semicolons: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    source.write_text(
        "joy;so happy, today caf\u00e9;test\n;sad, lonely caf\u00e9;test\n", encoding="latin-1"
    )
    said = cli("predict", semicolons.folder, source, "--out", out)
    assert said.code == 0, said.err
    assert (
        "new.csv is read with a semicolon between two cells, no header, latin-1, texts in 'review'"
        in said.err
    )
    for row, text in zip(
        rows_of(out), ["so happy, today caf\u00e9", "sad, lonely caf\u00e9"], strict=True
    ):
        answer = one_answer(cli, semicolons.folder, text)
        assert row["mood:joy"] == pytest.approx(answer["joy"], abs=1e-5)


def test_options_come_before_the_layout_of_the_run(
    cli: Any, semicolons: Any, tmp_path: Path
) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    source.write_text("n\tbody\n1\tso happy caf\u00e9\n", encoding="utf-8")
    flags = ["--delimiter", "tab", "--encoding", "utf-8", "--header", "--text", "body"]
    said = cli("predict", semicolons.folder, source, "--out", out, "--keep", *flags)
    assert said.code == 0, said.err
    (row,) = rows_of(out)
    assert (row["n"], row["body"]) == ("1", "so happy caf\u00e9")
    assert row["mood:joy"] == pytest.approx(
        one_answer(cli, semicolons.folder, "so happy caf\u00e9")["joy"], abs=1e-5
    )


def test_a_file_with_other_columns_and_no_header_numbers_them(
    cli: Any, semicolons: Any, tmp_path: Path
) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    source.write_text("7;so happy\n", encoding="latin-1")
    said = cli("predict", semicolons.folder, source, "--out", out)
    assert said.code == 1
    assert "--text: new.csv has no column 'review' (known: 1, 2" in said.err
    assert cli("predict", semicolons.folder, source, "--out", out, "--text", "2").code == 0
    source.write_text("so happy\nsad\n", encoding="latin-1")
    assert cli("predict", semicolons.folder, source, "--out", out).code == 0
    assert len(rows_of(out)) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("joy;so happy caf\u00e9;test\n".encode(), "new.csv can be read as UTF-8 and as latin-1"),
        (b"label;review;part\njoy;so happy;test\n", "new.csv begins with the names of the columns"),
    ],
)
def test_an_ambiguous_file_is_refused_with_both_readings(
    cli: Any, semicolons: Any, tmp_path: Path, content: bytes, said: str
) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    source.write_bytes(content)
    found = cli("predict", semicolons.folder, source, "--out", out)
    assert (found.code, out.exists()) == (1, False)
    assert said in found.err
    assert (
        "--encoding utf-8, or --encoding latin-1" in found.err
        or "--header: the row names the columns" in found.err
    )


def test_another_encoding_is_one_line_that_names_the_flag(
    cli: Any, trained: Any, tmp_path: Path
) -> None:
    source = tmp_path / "new.csv"
    source.write_bytes("text\ncaf\u00e9\n".encode("cp1252"))
    said = cli("predict", trained.folder, source, "--out", tmp_path / "out.csv")
    assert said.code == 1
    assert "--encoding cp1252" in said.err
    assert (
        cli(
            "predict", trained.folder, source, "--out", tmp_path / "out.csv", "--encoding", "cp1252"
        ).code
        == 0
    )


@pytest.mark.parametrize(
    ("content", "flag"),
    [
        ("n;text\n1;so happy\n", "--delimiter ';'"),
        ("n\ttext\n1\tso happy\n", "--delimiter tab"),
        ('n,text\n1,"so" happy\n', "--quoting none"),
    ],
)
def test_another_layout_is_one_line_that_names_the_option(
    cli: Any, trained: Any, tmp_path: Path, content: str, flag: str
) -> None:
    import shlex

    source, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    source.write_text(content)
    said = cli("predict", trained.folder, source, "--out", out, "--keep")
    assert (said.code, out.exists()) == (1, False)
    assert flag in said.err
    assert (
        cli("predict", trained.folder, source, "--out", out, "--keep", *shlex.split(flag)).code == 0
    )
    assert rows_of(out)[0]["text"] in ("so happy", '"so" happy')


def test_tasks_that_read_such_files_differently_are_refused(
    cli: Any, desk: Any, tmp_path: Path
) -> None:
    lines = (desk.folder / "topics.csv").read_text().replace(",", ";").replace("text;", "body;")
    (desk.folder / "topics.csv").write_text(lines)
    options = {"split": "part", "delimiter": ";", "text": "body"}
    run = desk.train(
        desk.manifest(tasks={"topics": {"options": options}}, train={"steps": 2}, eval={"every": 2})
    )
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("text,n\nso happy,1\n")
    said = cli("predict", run.folder, source, "--out", out)
    assert said.code == 1
    assert "the tasks of the run read such files differently ('mood': delimiter ','" in said.err
    assert cli("predict", run.folder, source, "--out", out, "--task", "mood").code == 0
    source.write_text("text,body\nso happy,sad\n")
    said = cli("predict", run.folder, source, "--out", out, "--delimiter", ",")
    assert said.code == 1
    assert "'topics' reads 'body', 'mood' reads 'text'" in said.err
    assert (
        cli("predict", run.folder, source, "--out", out, "--delimiter", ",", "--text", "body").code
        == 0
    )


@pytest.mark.parametrize("flag", ["--delimiter", "--encoding"])
def test_a_wrong_delimiter_or_encoding_names_its_option(
    cli: Any, trained: Any, tmp_path: Path, flag: str
) -> None:
    source = tmp_path / "new.csv"
    source.write_text("text\nso happy\n", encoding="utf-8")
    answer = cli("predict", trained.folder, source, "--out", tmp_path / "out.csv", flag, "encoding")
    assert answer.code == 1
    assert answer.err.startswith(f"error: {flag}: the {flag[2:]} 'encoding' is not ")


@pytest.fixture(scope="module")
def pairs(make_desk: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose task can only be answered from the second text of each row, beside one of single
    texts.
    """
    desk = make_desk(tmp_path_factory.mktemp("pairs"))
    words = {"joy": "happy love", "anger": "angry hate"}
    rows = ["question,answer,label,part"]
    for number in range(96):
        label = ("joy", "anger")[number % 2]
        part = ("train", "train", "validation", "test")[number // 2 % 4]
        rows.append(f"what is it {number // 2},{words[label]} {number % 7},{label},{part}")
    (desk.folder / "mood.csv").write_text("\n".join(rows) + "\n")
    options = {"split": "part", "text": "question", "pair": "answer"}
    manifest = desk.manifest(
        tasks={"mood": {"options": options}},
        train={"steps": 60, "lr": 3e-3},
        sampler={"per_step": "all"},
        eval={"every": 60},
    )
    return desk.train(manifest), desk.folder


def test_predictions_for_pairs_score_what_eval_scores(cli: Any, pairs: Any, tmp_path: Path) -> None:
    run, folder = pairs
    scored = json.loads(cli("eval", run.folder, "--split", "test", "--task", "mood", "--json").out)
    wanted = scored["tasks"]["mood"]["top1_accuracy"]
    # the first text of a pair says nothing, so that only who reads the second one gets there
    assert wanted == 1.0
    rows = [row for row in rows_of(folder / "mood.csv") if row["part"] == "test"]
    source, out = tmp_path / "test.csv", tmp_path / "out.csv"
    with source.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    said = cli("predict", run.folder, source, "--out", out, "--task", "mood")
    assert said.code == 0, said.err
    assert "second texts in 'answer'" in said.err
    assert [row["mood"] for row in rows_of(out)] == [row["label"] for row in rows]


def test_predictions_for_the_test_file_score_what_eval_scores(
    cli: Any, trained: Any, copied: Path, tmp_path: Path
) -> None:
    found = json.loads(cli("eval", copied, "--split", "test", "--json").out)["tasks"]
    source, out = tmp_path / "test.jsonl", tmp_path / "out.jsonl"
    for task, metric in (("mood", "top1_accuracy"), ("topics", "subset_accuracy")):
        rows = [
            row for row in rows_of(trained.folder.parent / f"{task}.csv") if row["part"] == "test"
        ]
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert cli("predict", trained.folder, source, "--out", out, "--task", task).code == 0
        right = [
            set(one[task].split("|")) == set(row["label"].split("|"))
            for one, row in zip(rows_of(out), rows, strict=True)
        ]
        assert sum(right) / len(right) == pytest.approx(found[task][metric])


def test_a_task_of_pairs_never_answers_for_a_text_alone(
    cli: Any, pairs: Any, tmp_path: Path
) -> None:
    run, _ = pairs
    said = cli("predict", run.folder, "--json", "so happy")
    assert (said.code, set(json.loads(said.out))) == (0, {"topics"})
    assert "left out, as there is no second text: mood" in said.err
    assert cli("predict", run.folder, "--task", "mood", "so happy").code == 1
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("question,reply\nwhat is it,happy love\n")
    said = cli("predict", run.folder, source, "--out", out, "--task", "mood")
    assert said.code == 1
    assert "--pair: new.csv has no column 'answer'" in said.err
    assert (
        cli("predict", run.folder, source, "--out", out, "--task", "mood", "--pair", "reply").code
        == 0
    )
    said = cli(
        "predict",
        run.folder,
        source,
        "--out",
        out,
        "--task",
        "topics",
        "--text",
        "question",
        "--pair",
        "reply",
    )
    assert "--pair: no task that answers here was trained on pairs of texts" in said.err


READS_CAPITALS = """
from emomtl import Example, Files, SingleLabel, Task, hookimpl

def read(row):
    return Example(row["body"].upper() if row["label"] == "fear" else row["body"], row["label"])

@hookimpl
def emomtl_tasks():
    return [Task("mood", Files("*", split_column="part"), read, head=SingleLabel())]
"""


def test_the_text_column_is_that_of_the_plugin_task(cli: Any, desk: Any, tmp_path: Path) -> None:
    (desk.folder / "own.py").write_text(READS_CAPITALS)
    (desk.folder / "mood.csv").write_text(
        (desk.folder / "mood.csv").read_text().replace("text,", "body,")
    )
    manifest = desk.manifest(
        plugins=["./own.py"],
        tasks={"topics": None, "mood": {"use": None, "options": None}},
        eval={"every": 2},
        train={"steps": 2},
    )
    run = desk.train(manifest)
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("body,label\nso happy,joy\n")
    said = cli("predict", run.folder, source, "--out", out, "--trust-plugins")
    assert said.code == 0, said.err
    assert "texts in 'body'" in said.err
    source.write_text("body,label\nso happy,fear\n")
    said = cli("predict", run.folder, source, "--out", out, "--trust-plugins")
    assert said.code == 1
    assert (
        "the texts that the task 'mood' makes of these rows stand in none of their columns"
        in said.err
    )
    assert (
        cli("predict", run.folder, source, "--out", out, "--trust-plugins", "--text", "body").code
        == 0
    )


@pytest.mark.parametrize(
    "arguments",
    [["plain.txt"], ["happy"], ["so sad", "happy"], ["folder"], ["gone.csv"], ["new.csv"]],
)
def test_the_name_of_a_file_is_never_a_text(
    cli: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plain.txt", "happy", "new.csv"):
        Path(name).write_text("text\nso happy\n")
    Path("folder").mkdir()
    said = cli("predict", trained.folder, *arguments)
    assert (said.code, said.out) == (1, "")
    assert f"'{arguments[-1]}' is " in said.err
    assert "--out FILE predicts for the texts in a file" in said.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(arguments[-1].encode())))
    assert cli("predict", trained.folder).out.splitlines()[0] == arguments[-1]


def test_a_plain_file_has_one_text_a_line(cli: Any, trained: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "plain.txt", tmp_path / "out.csv"
    source.write_bytes(b'so happy, "today"\r\n\r\nsad and lonely')
    said = cli("predict", trained.folder, source, "--out", out, "--keep")
    assert said.code == 0, said.err
    assert [row["text"] for row in rows_of(out)] == ['so happy, "today"', "", "sad and lonely"]
    assert "1 empty texts are predicted like any other" in said.err
    said = cli("predict", trained.folder, source, "--out", out, "--text", "body")
    assert "--text: plain.txt has one text a line, and no columns" in said.err


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rows_without_a_text_are_one_error_that_counts_them(
    cli: Any, trained: Any, tmp_path: Path, ending: str
) -> None:
    source, out = tmp_path / f"new.{ending}", tmp_path / "out.csv"
    rows: list[dict[str, Any]] = [
        {"text": "so happy"},
        {"text": None},
        {"text": "None"},
        {"text": None},
    ]
    if ending == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), source)
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = cli("predict", trained.folder, source, "--out", out)
    assert (said.code, out.exists()) == (1, False)
    place = "row" if ending == "parquet" else "line"
    assert f"2 of 4 rows have no text: 'text' is null ({place} 2, 4)" in said.err


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_data_stay_as_they_are_unless_a_spreadsheet_is_meant(
    cli: Any, desk: Any, tmp_path: Path, ending: str
) -> None:
    lines = (desk.folder / "mood.csv").read_text()
    (desk.folder / "mood.csv").write_text(lines.replace(",joy,", ",+,").replace(",anger,", ",-,"))
    run = desk.train(only_mood(desk))
    texts = [
        "@someone so happy",
        "=1+1 angry",
        "- sad",
        "'tis so",
        'a "quote",',
        "two\nlines",
        "-1",
    ]
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps({"text": text, "=n": text}) + "\n" for text in texts))
    for flags, escape in (([], ""), (["--spreadsheet-safe"], "'")):
        out = tmp_path / f"out.{ending}"
        assert cli("predict", run.folder, source, "--out", out, "--keep", *flags).code == 0
        found = rows_of(out)
        assert [row["text"] for row in found] == [
            escape * (text[0] in "@=-" and text != "-1") + text for text in texts
        ]
        assert set(found[0]) == {"text", f"{escape}=n", "mood", "mood:+", "mood:-", "mood:sadness"}
        assert {row["mood"] for row in found} <= {f"{escape}+", f"{escape}-", "sadness"}


def test_rows_with_different_keys_have_all_columns_in_every_format(
    cli: Any, trained: Any, tmp_path: Path
) -> None:
    source = tmp_path / "new.jsonl"
    rows: list[dict[str, Any]] = [
        {"text": "so happy", "a": 1},
        {"text": "sad", "b": [1, {"c": None}], "d": True},
        {"text": "angry", "a": 2.5, "e": "\ud83d"},
    ]
    rows += [{"text": "more"}] * 1100 + [{"text": "last", "f": "late"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = ["text", "a", "b", "d", "e", "f"]
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        out = tmp_path / f"out.{ending}"
        said = cli(
            "predict",
            trained.folder,
            source,
            "--out",
            out,
            "--keep",
            "--task",
            "mood",
            "--labels-only",
        )
        if ending == "parquet":
            assert said.code == 1  # the list in `b` holds a number and an object
            assert "the values of the column 'b' are of different kinds" in said.err
            continue
        assert said.code == 0, said.err
        found = rows_of(out)
        assert all(list(row) == [*kept, "mood"] for row in found)
        nothing = None if ending == "jsonl" else ""
        assert [row["f"] for row in (found[0], found[-1])] == [nothing, "late"]
        assert [row["a"] for row in found[:3]] == (
            [1, None, 2.5] if ending == "jsonl" else ["1", "", "2.5"]
        )
        assert found[1]["b"] == ([1, {"c": None}] if ending == "jsonl" else '[1, {"c": null}]')
        assert found[1]["d"] == (True if ending == "jsonl" else "true")
    source.write_text(
        "".join(
            json.dumps({key: cell for key, cell in row.items() if key != "b"}) + "\n"
            for row in rows
        )
    )
    said = cli(
        "predict",
        trained.folder,
        source,
        "--out",
        tmp_path / "out.parquet",
        "--keep",
        "--task",
        "mood",
        "--labels-only",
    )
    assert said.code == 0, said.err
    found = rows_of(tmp_path / "out.parquet")
    assert [found[0]["a"], found[1]["a"], found[2]["a"]] == [1.0, None, 2.5]
    assert [found[1]["d"], found[2]["e"], found[-1]["f"], len(found)] == [
        True,
        "\ufffd",
        "late",
        1104,
    ]


def test_jsonl_holds_no_nan_and_reads_back(cli: Any, trained: Any, tmp_path: Path) -> None:
    import datetime

    source, out = tmp_path / "new.parquet", tmp_path / "out.jsonl"
    day = datetime.datetime(2026, 1, 2, 3, 4, 5)
    content = {
        "text": ["so happy", "sad"],
        "x": [math.nan, 1.5],
        "y": [[math.inf, 1.0], []],
        "day": [day, None],
    }
    content["box"] = [{"inside": 1}, None]  # type: ignore[list-item]
    parquet.write_table(pyarrow.table(content), source)
    said = cli("predict", trained.folder, source, "--out", out, "--keep")
    assert said.code == 0, said.err
    assert "1 columns with structs or maps inside are not copied: box" in said.err
    found = [json.loads(line, parse_constant=pytest.fail) for line in out.read_text().splitlines()]
    assert [row["x"] for row in found] == [None, 1.5]
    assert [row["y"] for row in found] == [[None, 1.0], []]
    assert [row["day"] for row in found] == ["2026-01-02T03:04:05", None]
    assert cli("predict", trained.folder, out, "--out", tmp_path / "again.csv").code == 0
    assert (
        cli("predict", trained.folder, source, "--out", tmp_path / "same.parquet", "--keep").code
        == 0
    )
    assert parquet.read_schema(tmp_path / "same.parquet").field("day").type == pyarrow.timestamp(
        "us"
    )


@pytest.mark.parametrize("how", ["itself", "symlink", "hardlink"])
def test_the_input_is_never_overwritten(cli: Any, trained: Any, tmp_path: Path, how: str) -> None:
    source, out = tmp_path / "data.csv", tmp_path / "other.csv"
    source.write_text("text\nso happy\n")
    if how == "symlink":
        out.symlink_to(source)
    elif how == "hardlink":
        os.link(source, out)
    said = cli("predict", trained.folder, source, "--out", source if how == "itself" else out)
    assert said.code == 1
    assert "is the file that is read, and would be overwritten" in said.err
    assert source.read_text() == "text\nso happy\n"


def test_rows_and_record_of_the_run_are_never_overwritten(
    cli: Any, copied: Path, trained: Any, tmp_path: Path
) -> None:
    source = tmp_path / "new.csv"
    source.write_text("text\nso happy\n")
    for out in (trained.folder.parent / "mood.csv", copied / "metrics.jsonl"):
        before = out.read_bytes()
        said = cli("predict", copied, source, "--out", out)
        assert said.code == 1
        assert "would be overwritten (name another file)" in said.err
        assert out.read_bytes() == before
    for _ in range(2):
        assert cli("predict", copied, source, "--out", copied / "answers.jsonl").code == 0


def test_a_model_with_nan_weights_is_refused(
    cli: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from emomtl.inference.evaluator import Evaluator

    logits = Evaluator.logits
    monkeypatch.setattr(
        Evaluator,
        "logits",
        lambda *given: {name: np.full_like(one, np.nan) for name, one in logits(*given).items()},
    )
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("text\nso happy\n")
    for arguments in (["so happy"], ["--json", "so happy"], [source, "--out", out]):
        said = cli("predict", trained.folder, *arguments)
        assert (said.code, said.out, out.exists()) == (1, "", False)
        assert "tasks.mood: the model's answers on these texts are not finite" in said.err


def test_answers_have_four_digits_and_labels_only_has_none(
    cli: Any, trained: Any, tmp_path: Path
) -> None:
    import re

    shown = cli("predict", trained.folder, "so happy").out
    assert re.search(r"  mood: \w+ 0\.\d{4}\n", shown)
    assert not re.search(r"\d", cli("predict", trained.folder, "--labels-only", "so happy").out)
    found = json.loads(cli("predict", trained.folder, "--labels-only", "--json", "so happy").out)
    assert found == {
        "mood": {"labels": found["mood"]["labels"]},
        "topics": {"labels": found["topics"]["labels"]},
    }
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("text\nso happy\n")
    assert cli("predict", trained.folder, source, "--out", out, "--labels-only").code == 0
    assert list(rows_of(out)[0]) == ["mood", "topics"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--text", "body"],
        ["--encoding", "utf-8"],
        ["--keep"],
        ["--no-header"],
        ["--spreadsheet-safe"],
    ],
)
def test_options_about_files_are_refused_for_texts(
    cli: Any, trained: Any, flags: list[str]
) -> None:
    said = cli("predict", trained.folder, "so happy", *flags)
    assert (said.code, said.out) == (1, "")
    assert "is about a file, and texts are given (name a file, and --out)" in said.err


class Typed(io.TextIOWrapper):
    """A terminal on which somebody types a line only once the one before was answered."""

    def __init__(self, lines: list[str], answered: Any) -> None:
        super().__init__(io.BytesIO())
        self.lines, self.answered, self.seen = list(lines), answered, []

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        self.seen.append(self.answered())
        return self.lines.pop(0) + "\n" if self.lines else ""


def test_what_is_typed_is_answered_line_by_line(
    cli: Any, trained: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out: list[str] = []

    def answered() -> int:
        out.append(capsys.readouterr().out)
        return "".join(out).count("mood:")

    typed = Typed(TEXTS, answered)
    monkeypatch.setattr("sys.stdin", typed)
    assert cli("predict", trained.folder).code == 0
    assert typed.seen == [0, 1, 2, 3]


def test_predictions_for_a_file_say_how_far_they_are(
    cli: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    source = tmp_path / "new.csv"
    source.write_text("text\n" + "so happy\n" * 1500)
    said = cli("predict", trained.folder, source, "--out", tmp_path / "out.csv", "--task", "mood")
    assert "predicting: 1,024 of 1,500 rows (68%), 0:00:0" in said.err
    assert "wrote 1,500 rows" in said.err


def test_plain_lines_of_training_say_how_long_it_takes(desk: Any, cli: Any) -> None:
    said = cli(
        "train", desk.manifest(train={"steps": 6, "log_every": 2}), "--out", desk.folder / "run"
    )
    lines = [line for line in said.err.splitlines() if line.startswith("step 4 (67%")]
    assert lines
    assert ", 0:00:0" in lines[0]
    assert " left)" in lines[0]

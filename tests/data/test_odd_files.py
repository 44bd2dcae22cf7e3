"""Files as people export them: what is wrong with their quotes, delimiters and encodings is said
with the key that mends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Example, Files, SingleLabel, Task
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.corpus import TaskData
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl_tasks.table import Table

ROWS = 90


def read(row: Mapping[str, Any]) -> Example | None:
    return None if row["text"] == "drop me" else Example(row["text"], row["label"])


def data(
    path: Path,
    content: str | bytes,
    on_bad_row: str = "stop",
    names: tuple[str, ...] = ("mine",),
    sensitive: bool = False,
    **layout: Any,
) -> TaskData:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tasks = [
        Task(name, Files("*", **layout), read, head=SingleLabel(), sensitive=sensitive)
        for name in names
    ]
    inputs = [
        BoundTask(
            one.name, one, one.head, located=locate(one.layouts, path.name, path.parent, one.name)
        )
        for one in tasks
    ]
    return read_tasks(inputs, ReadOptions(on_bad_row=on_bad_row))


def rows(delimiter: str, count: int = ROWS) -> str:
    return "".join(f"text {i}{delimiter}{'joy' if i % 2 else 'fear'}\n" for i in range(count))


def said(path: Path, content: str | bytes, **options: Any) -> str:
    with pytest.raises(EmomtlError) as caught:
        data(path, content, **options)
    return str(caught.value)


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_quote_that_swallows_rows_is_refused_with_the_key(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    content = f'text{delimiter}label\n"hello{delimiter}joy\n{rows(delimiter)}bye"{delimiter}fear\n'
    found = said(tmp_path / name, content)
    assert f"{name}:2: mine: all: a quoted cell of this row runs over {ROWS + 2} lines" in found
    assert 'cut like rows of 2 cells (an opened quote? `quoting = "none"`' in found
    assert len(data(tmp_path / name, content, quoting="none").rows("mine", "train")) == ROWS + 2
    assert (
        len(
            data(tmp_path / name, content + rows(delimiter, 2), quoting="csv").rows("mine", "train")
        )
        == 3
    )


def test_a_tsv_cell_with_tab_and_line_break_is_refused(tmp_path: Path) -> None:
    content = 'text\tlabel\n"hello\tjoy\nbye"\tfear\n'
    assert "runs over 2 lines" in said(tmp_path / "a.tsv", content)


def test_rows_over_many_lines_are_counted(tmp_path: Path) -> None:
    poem = "\n".join(["a line"] * 20)
    content = f'text,label\nshort,joy\n"{poem}",fear\n"two\nlines",joy\n'
    (note,) = data(tmp_path / "a.csv", content).notes
    assert note.startswith(
        "mine: 1 rows run over more than 5 lines, the longest over 20 from"
        f" {tmp_path / 'a.csv'}:3 ("
    )
    assert "a line" not in note
    assert data(tmp_path / "a.csv", content, quoting="csv").notes == []


def test_quotes_that_stay_in_the_texts_are_counted(tmp_path: Path) -> None:
    content = 'text,label\n"a",joy\nb,fear\n"c",joy\n'
    (note,) = data(tmp_path / "a.csv", content, quoting="none").notes
    assert note.startswith(
        "mine: 2 rows have a cell in quotes, which are read as a part of it, first in"
        f" {tmp_path / 'a.csv'}:2"
    )


def test_an_open_quote_at_the_end_names_the_key(tmp_path: Path) -> None:
    assert 'give `quoting = "none"`' in said(tmp_path / "a.tsv", 'text\tlabel\na\tjoy\n"b\tfear\n')


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_named_with_the_columns_it_makes(
    tmp_path: Path, delimiter: str
) -> None:
    content = f"text{delimiter}label\n" + rows(delimiter, 4)
    shown = {";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}[delimiter]
    key = delimiter.replace("\t", "\\t")
    wanted = {"text": "text", "label": "label"}
    for layout in ({}, {"columns": wanted}):
        found = said(tmp_path / "a.csv", content, **layout)
        assert (
            f"cut at a comma the header has 1 column, at {shown} 2: 'text', 'label' (`delimiter ="
            f' "{key}"`' in found
        )
    hidden = said(tmp_path / "a.csv", content, columns=wanted, sensitive=True)
    assert f"at {shown} 2 (" in hidden
    assert "'label'" not in hidden
    assert len(data(tmp_path / "a.csv", content, delimiter=delimiter).rows("mine", "train")) == 4


def test_one_column_named_with_another_delimiter_is_refused(tmp_path: Path) -> None:
    assert 'or `delimiter = ","` where it is one column' in said(
        tmp_path / "a.csv", "text;label\nx\n"
    )
    path = tmp_path / "b.csv"
    path.write_text("text;label\nx\n")
    located = locate([Files("*", delimiter=",")], "b.csv", tmp_path, "mine")
    assert [raw.values for raw in located.rows("all")] == [{"text;label": "x"}]


def test_rows_without_header_name_the_delimiter_that_fits(tmp_path: Path) -> None:
    layout = {"header": False, "columns": ("text", "label")}
    assert 'cut at a semicolon it has 2: `delimiter = ";"`' in said(
        tmp_path / "a.csv", "a;joy\nb;fear\n", **layout
    )


def test_the_line_that_excel_writes_for_itself_is_named(tmp_path: Path) -> None:
    assert 'delete that line, and give `delimiter = ";"`' in said(
        tmp_path / "a.csv", "sep=;\ntext;label\na;joy\n"
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            "text\tlabel\na\tjoy\n".encode("utf-16"),
            'UTF-16, not utf-8 text (save it as UTF-8, or give `encoding = "utf-16"`',
        ),
        (
            "text,label\na,joy\n".encode("utf-16-le"),
            'UTF-16 without a mark at its start (give `encoding = "utf-16-le"`)',
        ),
        ("text,label\na,joy\n".encode("utf-16-be"), 'give `encoding = "utf-16-be"`'),
        (
            "text,label\na,joy\ncafé,fear\n".encode("cp1252"),
            '`encoding = "cp1252"`, in which Excel saves CSV on Windows, reads ',
        ),
        (
            "text,label\n“hm”,joy\n".encode("cp1252"),
            "a.csv:2: mine: all: not utf-8: byte 93 at offset 11",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook of the old kind"),
        (b"PK\x03\x04....", "a ZIP archive or an Excel workbook"),
    ],
)
def test_excel_files_are_refused_with_the_key_that_reads_them(
    tmp_path: Path, content: bytes, found: str
) -> None:
    assert found in said(tmp_path / "a.csv", content)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert (
        len(data(tmp_path / "a.csv", "\ufefftext,label\na,joy\nb,fear\n").rows("mine", "train"))
        == 2
    )


def test_utf8_that_is_read_in_single_bytes_is_said(tmp_path: Path) -> None:
    content = "text,label\ncafé,joy\nb,fear\n"
    (note,) = data(tmp_path / "a.csv", content, encoding="latin-1").notes
    assert note.startswith("mine: a.csv is read as latin-1 and looks like UTF-8")
    assert data(tmp_path / "a.csv", content.encode("latin-1"), encoding="latin-1").notes == []


def test_rows_of_wrong_width_are_bad_rows(tmp_path: Path) -> None:
    content = "text,label\na,joy\nb,c,fear\nd\ne,fear\n"
    found = said(tmp_path / "a.csv", content)
    assert "a.csv:3: mine: all row 3: 3 cells, but the header has 2 columns" in found
    assert "a.csv:4: mine: all row 4: 1 cell, but the header has 2 columns" in found
    kept = data(tmp_path / "a.csv", content, on_bad_row="skip", names=("mine", "twin"))
    assert len(kept.rows("mine", "train")) == 2
    assert kept.counted == {"mine": {"bad rows": 2}, "twin": {"bad rows": 2}}
    assert [note for note in kept.notes if note.startswith("skipped")] == [
        f"skipped {tmp_path / 'a.csv'}:{line}: mine: all row {line}: {cells} but the header has 2"
        " columns (a cell with a comma in it needs quotes)"
        for line, cells in ((3, "3 cells,"), (4, "1 cell,"))
    ]


def test_with_a_split_column_a_bad_row_counts_once(tmp_path: Path) -> None:
    content = "text,label,split\na,joy,train\nb,fear,train\nc\nd,joy,dev\n"
    kept = data(tmp_path / "a.csv", content, on_bad_row="skip", split_column="split")
    assert kept.counted["mine"] == {"bad rows": 1}
    assert "a.csv:4: mine: train row 4: 1 cell" in said(
        tmp_path / "a.csv", content, split_column="split"
    )


def test_broken_json_is_a_bad_row_except_in_line_one(tmp_path: Path) -> None:
    good = ['{"text": "a", "label": "joy"}', '{"text": "b", "label": "fear"}']
    content = "\n".join([good[0], '{"text": ', "[1]", good[1]]) + "\n"
    kept = data(tmp_path / "a.jsonl", content, on_bad_row="skip")
    assert (len(kept.rows("mine", "train")), kept.counted["mine"]) == (2, {"bad rows": 2})
    assert "a.jsonl:1: mine: all: not JSON" in said(
        tmp_path / "a.jsonl", "[\n" + content, on_bad_row="skip"
    )


def test_rows_that_read_drops_are_counted(tmp_path: Path) -> None:
    content = "text,label\na,joy\ndrop me,joy\nb,fear\ndrop me,fear\n"
    assert data(tmp_path / "a.csv", content).notes == ["mine: 2 rows that its `read` drops"]


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    layout = {"header": False, "columns": ("label", "", "text", "")}
    kept = data(tmp_path / "a.csv", "joy,1,hello,\nfear,2,bye,\n", **layout)
    assert list(kept.corpora[0].splits["train"].texts) == ["hello", "bye"]
    path = tmp_path / "a.csv"
    assert [
        raw.values
        for raw in locate([Files("*", **layout)], path.name, tmp_path, "mine").rows("all")
    ] == [{"label": "joy", "text": "hello"}, {"label": "fear", "text": "bye"}]


def test_a_separator_at_the_end_of_lines_is_no_column(tmp_path: Path) -> None:
    content = "text,label,\na,joy,\nb,fear,\nc,joy,oops\n"
    assert "column 3 has no name and holds something" in said(tmp_path / "a.csv", content)
    kept = data(tmp_path / "a.csv", content, on_bad_row="skip")
    assert list(kept.corpora[0].splits["train"].texts) == ["a", "b"]
    assert "a comma ends the row: end the header so, too" in said(
        tmp_path / "a.csv", "text,label\na,joy,\n"
    )


def test_table_takes_quoting_and_columns_without_a_name() -> None:
    (layout,) = Table(quoting="none", header=False, columns=("label", "text", "")).task().layouts
    assert isinstance(layout, Files)
    assert (layout.quoting, layout.columns) == ("none", ("label", "text", ""))


def test_a_header_where_none_is_expected_is_refused(tmp_path: Path) -> None:
    layout = {"header": False, "columns": ("text", "", "label")}
    assert "a.csv:1: mine: all: the first row holds the names of the columns" in said(
        tmp_path / "a.csv", "Text,id,LABEL\na,1,joy\n", **layout
    )
    assert (
        len(data(tmp_path / "a.csv", "text,1,joy\nb,2,fear\n", **layout).rows("mine", "train")) == 2
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.txt", "a `delimiter` makes it read"), ("a.xlsx", "save the sheet as CSV (UTF-8)")],
)
def test_an_ending_that_is_not_read_says_what_reads_it(
    tmp_path: Path, name: str, hint: str
) -> None:
    assert hint in said(tmp_path / name, "text,label\na,joy\n")

"""CSV, TSV and JSONL are read strictly: what is read is what stands there, and what is broken is
one line with its place.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Files
from emomtl.data import lines
from emomtl.data.layouts import READERS, strict_rows
from emomtl.data.source_file import SourceFile

DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"
RENAMED = {"columns": {"review": "text", "mood": "label"}}
HEADERLESS = {"header": False, "columns": ("text", "label")}
UNQUOTED = {"quoting": "none"}

# name, bytes, options of `Files`, line of the error (None: the whole file), what is found
BROKEN: list[tuple[str, bytes, dict[str, Any], int | None, str]] = [
    ("a.csv", b"", {}, None, "the file is empty"),
    ("a.csv", b"\n\r\n\n", {}, None, "the file has no header, only blank lines"),
    (
        "a.csv",
        b"text,label\na,b\nc\n",
        {},
        3,
        "1 cell, but the header has 2 columns (a cell with a comma in it needs quotes)",
    ),
    ("a.csv", b"text,label\r\na,b,c\r\n", {}, 2, "3 cells, but the header has 2 columns"),
    ("a.csv", b'text,label\n"a\nb\nc",d\ne,f,g\n', {}, 5, "3 cells, but the header has 2 columns"),
    (
        "a.csv",
        b'text,label\na,b\n"c\nd\ne,f\n',
        {},
        3,
        "a quote is opened in this row and never closed",
    ),
    ("a.csv", b'text,label\n"a" b,c\n', {}, 2, "text after a closing quote"),
    (
        "a.csv",
        b'text,label\n"a\nb" c,d\n',
        {},
        2,
        "a closing quote is followed by text (on line 3)",
    ),
    ("a.csv", b"text,text\na,b\n", {}, 1, "two columns are called 'text'"),
    ("a.csv", b"\ntext,,label\na,b,c\n", {}, 2, "column 2 has no name"),
    ("a.csv", b"text,label, \na,b,c\n", {}, 2, "column 3 has no name and holds something"),
    ("a.csv", b"text,label\na,\0\n", {}, 2, "a NUL byte"),
    (
        "a.csv",
        "text,label\na,b\n".encode("utf-16-le"),
        {},
        None,
        "the file is UTF-16 without a mark at its start (give",
    ),
    ("a.csv", "text,label\na,b\n".encode("utf-16"), {}, None, "the file is UTF-16, not utf-8 text"),
    ("a.csv", b"\xfe\xff\0t", {}, None, "the file is UTF-16, not utf-8 text"),
    ("a.csv", "text,label\n".encode("utf-32"), {}, None, "the file is UTF-32, not utf-8 text"),
    ("a.csv", b"\x1f\x8b\x08\x00abc", {}, None, "the file is gzip-compressed"),
    ("a.csv", b"PK\x03\x04abc", {}, None, "the file is a ZIP archive or an Excel workbook"),
    ("a.csv", b"PAR1abc", {}, None, "the file is Parquet"),
    ("a.csv", b"text,label\na,b\ncaf\xe9,d\n", {}, 3, "not utf-8: byte e9 at offset 18"),
    ("a.csv", b"text,label\r\na,b\r\ncaf\xc3", {}, 3, "not utf-8: byte c3 at offset 20"),
    (
        "a.csv",
        b"text,label\ncaf\xc3\xa9,d\n",
        {"encoding": "ascii"},
        2,
        "not ascii: byte c3 at offset 14",
    ),
    ("a.csv", b"text,label\na,b\n", {"encoding": "utf-16"}, 1, "not utf-16"),
    ("a.csv", b"rewiev,mood\na,b\n", RENAMED, 1, "no column 'review' (did you mean 'rewiev'?)"),
    (
        "a.csv",
        b"review,mood,text\na,b,c\n",
        RENAMED,
        1,
        "the columns 'review' and 'text' would both be called 'text'",
    ),
    ("a.csv", b"a,b\nc,d,e\n", HEADERLESS, 2, "3 cells, but the layout has 2 columns"),
    ("a.csv", b"", HEADERLESS, None, "the file is empty"),
    (
        "a.csv",
        ",".join(f"c{i}" for i in range(10_001)).encode(),
        {},
        1,
        "10001 columns (at most 10000 are read",
    ),
    (
        "a.tsv",
        b"text\tlabel\na,b\n",
        {},
        2,
        "1 cell, but the header has 2 columns (cut at a comma it has 2: ",
    ),
    (
        "a.tsv",
        b"text\tlabel\na\tb\tc\n",
        UNQUOTED,
        2,
        "3 cells, but the header has 2 columns (a cell cannot hold a tab",
    ),
    (
        "a.csv",
        b"text;label\na;b;c\n",
        {"delimiter": ";"},
        2,
        "3 cells, but the header has 2 columns (a cell with a semi",
    ),
    ("a.jsonl", b"", {}, None, "the file is empty"),
    ("a.jsonl", b'{"a": 1}\n\n{"a": }\n', {}, 3, "not JSON: Expecting value at column 7"),
    ("a.jsonl", b'{"a": 1}\n[1, 2]\n', {}, 2, "a list instead of an object"),
    ("a.jsonl", b"null\n", {}, 1, "null instead of an object"),
    ("a.ndjson", b'"text"\n', {}, 1, "a text instead of an object"),
    ("a.jsonl", b"12\n", {}, 1, "a number instead of an object"),
    (
        "a.jsonl",
        b'[\n{"a": 1}\n]\n',
        {},
        1,
        "not JSON: Expecting value at column 1 (one object a line; a list",
    ),
    ("a.jsonl", b'{"a": 1}\n{"a": "tor', {}, 2, "the last line is cut off"),
    ("a.jsonl", b'{"a": 1}\n{"a": 1', {}, 2, "the last line is cut off"),
    ("a.jsonl", b'{"a": 1}\n' + DEEP, {}, 2, "nested too deep to be read"),
    ("a.jsonl", b'{"a": 1, "b": 2, "a": 3}\n', {}, 1, "the key 'a' stands twice in one object"),
    ("a.jsonl", b'{"a": {"b": 2, "b": 3}}\n', {}, 1, "the key 'b' stands twice in one object"),
    (
        "a.jsonl",
        b'{"a": 1}\n{"a": NaN}\n',
        {},
        2,
        "NaN is not JSON; write null where a number is missing",
    ),
    ("a.jsonl", b'{"a": -Infinity}\n', {}, 1, "-Infinity is not JSON"),
    ("a.jsonl", b'{"a": 1e999}\n', {}, 1, "1e999 is too large for a number"),
    ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", {}, 1, "Exceeds the limit"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', {}, 2, "not utf-8: byte ff at offset 16"),
    ("a.jsonl", b'{"a": "\0"}\n', {}, 1, "a NUL byte"),
    ("a.jsonl", b'{"review": "a", "mood": 1}\n{"review": "a"}\n', RENAMED, 2, "no column 'mood'"),
    (
        "a.jsonl",
        b'{"text": "a", "label": 1}\n',
        HEADERLESS,
        1,
        "the columns have names of their own",
    ),
]


def source_file(path: Path, **options: Any) -> SourceFile:
    return SourceFile(path, Files(path.name, **options), "mine: all")


def read(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [values for _, values in numbered(path, **options)]


def numbered(path: Path, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    file = source_file(path, **options)
    return [(row.number, dict(row.values)) for row in strict_rows(file)]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@contextmanager
def one_problem(path: Path, line: int | None, found: str) -> Iterator[None]:
    """What is raised is one line that starts with the place and says what was found."""
    with pytest.raises(EmomtlError) as caught:
        yield
    message = str(caught.value)
    where = f"{path}:{line}" if line is not None else str(path)
    assert message.startswith(f"{where}: mine: all: {found}"), message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize(
    ("name", "content", "options", "line", "found"), BROKEN, ids=range(len(BROKEN))
)
def test_what_is_broken_is_one_line_with_its_place(
    tmp_path: Path, name: str, content: bytes, options: dict[str, Any], line: int | None, found: str
) -> None:
    path = written(tmp_path / name, content)
    with one_problem(path, line, found):
        read(path, **options)


def test_text_stays_text(tmp_path: Path) -> None:
    words = ["NA", "null", "None", "nan", "007", "1e5", " x ", "", "TRUE"]
    path = written(
        tmp_path / "a.csv",
        "".join(f"{word},\n" for word in ["text", *words]).replace("text,", "text,label").encode(),
    )
    assert [row["text"] for row in read(path)] == words
    assert {row["label"] for row in read(path)} == {""}


def test_rows_are_numbered_by_their_first_line(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", b'\xef\xbb\xbftext,label\r\n"one\r\ntwo",x\r\n\r\nthree,y\r\n"fo""ur",z'
    )
    assert numbered(path) == [
        (2, {"text": "one\r\ntwo", "label": "x"}),
        (5, {"text": "three", "label": "y"}),
        (6, {"text": 'fo"ur', "label": "z"}),
    ]


def test_a_first_column_without_name_is_pandas_index(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.csv", b",text\n0,a\n")) == [{"": "0", "text": "a"}]


def test_columns_are_renamed_or_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"review,mood,id\na,b,c\n")
    assert read(path, **RENAMED) == [{"text": "a", "label": "b", "id": "c"}]
    assert read(path, columns={"review": "mood", "mood": "review"}) == [
        {"mood": "a", "review": "b", "id": "c"}
    ]
    assert read(written(tmp_path / "b.tsv", b"a\tb\n"), **HEADERLESS) == [
        {"text": "a", "label": "b"}
    ]
    lined = written(
        tmp_path / "c.jsonl",
        b'{"review": "a", "mood": 1}\n{"mood": null, "more": [], "review": "b"}\n',
    )
    assert read(lined, **RENAMED) == [
        {"text": "a", "label": 1},
        {"label": None, "more": [], "text": "b"},
    ]


def test_quotes_are_plain_characters_where_the_layout_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", b'text\tlabel\n"a\t1\nb"" "c"\t0\n')
    assert read(path, quoting="none") == [
        {"text": '"a', "label": "1"},
        {"text": 'b"" "c"', "label": "0"},
    ]


def test_other_encodings_are_read_when_declared(tmp_path: Path) -> None:
    for encoding in ("latin-1", "utf-16", "cp1252", "utf_8_sig"):
        path = written(tmp_path / "a.csv", "text,label\ncafé,ü\n".encode(encoding))
        assert read(path, encoding=encoding) == [{"text": "café", "label": "ü"}]


def test_the_line_of_a_bad_byte_is_right_anywhere(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        b"text\r\n" + b"x" * 61 + b"\r\n" + b"some words\r\n" * 200_000 + b"\xff\r\n",
    )
    with one_problem(path, 200_003, f"not utf-8: byte ff at offset {6 + 63 + 12 * 200_000}"):
        read(path)


def test_an_open_quote_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1_000)
    path = written(tmp_path / "a.csv", b'text,label\na,b\n"c,d\n' + b"e,f\n" * 1_000)
    with one_problem(
        path, 3, "this row is longer than 32 MB (a quote that is opened and never closed?)"
    ):
        read(path)
    path = written(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": "' + b"x" * 2_000)
    with one_problem(path, 2, "this row is longer than 32 MB"):
        read(path)


def test_a_cell_of_sixteen_megabytes_is_read(tmp_path: Path) -> None:
    cell = "x" * 2**24
    assert read(written(tmp_path / "a.csv", f'text\n"{cell}"\n'.encode())) == [{"text": cell}]


@pytest.mark.parametrize(
    ("name", "row"),
    [("a.csv", b"words of a row,label\n"), ("a.jsonl", b'{"text": "words of a row"}\n')],
)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str, row: bytes) -> None:
    file = source_file(
        written(tmp_path / name, b"text,label\n" * name.endswith("csv") + row * 20_000)
    )
    tracemalloc.start()
    try:
        assert sum(1 for _ in READERS[file.kind].rows(file)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_lone_surrogates_of_json_pass(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"text": "\\ud83d!", "more": {"x": [1]}}\r\n')
    assert read(path) == [{"text": "\ud83d!", "more": {"x": [1]}}]


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        path = written(tmp_path / name, b"text\na\n")
        path.chmod(0)
        with one_problem(path, None, "cannot be read: Permission denied"):
            read(path)


def test_a_file_that_went_away_says_so(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        with one_problem(tmp_path / name, None, "cannot be read: No such file or directory"):
            read(tmp_path / name)

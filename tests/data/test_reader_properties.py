"""Whatever text is written comes back unchanged from every format, and whatever bytes are read give
rows or an error of ours.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emomtl import EmomtlError, Files
from emomtl.data.layouts import strict_rows
from emomtl.data.source_file import SourceFile

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
VALUE = st.text() | st.none() | st.integers() | st.lists(st.text(max_size=9), max_size=3)
FAST = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbered(path: Path, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    file = SourceFile(path, Files(path.name, **options), "mine: all")
    return [(row.number, dict(row.values)) for row in strict_rows(file)]


def read(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [values for _, values in numbered(path, **options)]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def parquet_of(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path, **options)
    return path


@FAST
@given(
    st.lists(st.tuples(TEXT, TEXT), max_size=6), st.sampled_from([("a.csv", ","), ("a.tsv", "\t")])
)
def test_delimited_texts_come_back_unchanged(
    tmp_path: Path, rows: list[tuple[str, str]], kind: tuple[str, str]
) -> None:
    name, delimiter = kind
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("text", "label"), *rows])
    path = written(tmp_path / name, out.getvalue().encode())
    # a cell of several lines that look like rows is refused where nothing is said
    found = numbered(path, quoting="csv")
    assert [(values["text"], values["label"]) for _, values in found] == rows
    assert [line for line, _ in found] == sorted({line for line, _ in found})


@FAST
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"),
            st.text() | st.none() | st.integers() | st.lists(st.text(max_size=9), max_size=3),
        ),
        max_size=4,
    )
)
def test_json_lines_come_back_unchanged(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = written(
        tmp_path / "a.jsonl", b"\n" + "".join(json.dumps(row) + "\n" for row in rows).encode()
    )
    assert numbered(path) == list(enumerate(rows, 2))


@FAST
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])) | st.none(),
            st.floats(allow_nan=False),
        )
    )
)
def test_parquet_values_come_back_unchanged(
    tmp_path: Path, rows: list[tuple[str | None, float]]
) -> None:
    import pyarrow as pa

    columns = {
        "text": pa.array([text for text, _ in rows], pa.string()),
        "score": pa.array([x for _, x in rows], pa.float64()),
    }
    path = parquet_of(tmp_path / "a.parquet", columns)
    assert [(row["text"], row["score"]) for row in read(path)] == rows


PIECES = [
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"a",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"{",
    b"}",
    b":",
    b"1",
    b"[",
    b"\\u",
]
NOISE = st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"".join)
NAMES = st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
ENCODINGS = st.sampled_from(["utf-8", "latin-1", "utf-16", "gb18030"])


def outcome(path: Path, **options: Any) -> str:
    """`rows`, or the error where it is one line about this file; whatever else happens is raised."""
    try:
        rows = read(path, **options)
    except EmomtlError as error:
        ours = (
            len(error.problems) == 1
            and error.problems[0].file == str(path)
            and "\n" not in str(error)
        )
        return "one line" if ours else repr(error)
    return "rows" if all(isinstance(row, dict) for row in rows) else repr(rows)


@FAST
@given(NOISE, NAMES, ENCODINGS, st.sampled_from(["csv", "none"]))
def test_any_bytes_give_rows_or_an_error_of_ours(
    tmp_path: Path, content: bytes, name: str, encoding: str, quoting: str
) -> None:
    assert outcome(written(tmp_path / name, content), encoding=encoding, quoting=quoting) in (
        "rows",
        "one line",
    )


@FAST
@given(st.data())
def test_changed_parquet_bytes_give_rows_or_our_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "whole.parquet"
    if not path.exists():
        parquet_of(
            path,
            {
                "text": [f"text {i}" for i in range(50)],
                "labels": [[i] for i in range(50)],
                "n": list(range(50)),
            },
        )
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(written(tmp_path / "changed.parquet", bytes(content))) in ("rows", "one line")

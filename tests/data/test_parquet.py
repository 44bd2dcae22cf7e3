"""Parquet is read in batches after a look at its footer; what is broken is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Files
from emomtl.data import parquet
from emomtl.data.layouts import READERS, strict_rows
from emomtl.data.source_file import SourceFile


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


@contextmanager
def one_problem(path: Path, found: str) -> Iterator[None]:
    """What is raised is one line that starts with the place and says what was found."""
    with pytest.raises(EmomtlError) as caught:
        yield
    message = str(caught.value)
    assert message.startswith(f"{path}: mine: all: {found}"), message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"text,label\na,b\n", "not a whole Parquet file"),
        (b"PAR1" + b"\0" * 40, "not a whole Parquet file"),
        (b"PAR1" + b"\xff" * 40 + b"PAR1", "not a whole Parquet file"),
    ],
)
def test_what_is_no_parquet_file_is_told_so(tmp_path: Path, content: bytes, found: str) -> None:
    path = written(tmp_path / "a.parquet", content)
    with one_problem(path, found):
        read(path)


def test_parquet_rows_are_numbered_and_nested_columns_left_out(tmp_path: Path) -> None:
    columns = {
        "text": ["a", None],
        "labels": [[1, 2], []],
        "meta": [{"x": 1}, {"x": 2}],
        "many": [[{"x": 1}], []],
    }
    path = parquet_of(tmp_path / "a.parquet", columns, row_group_size=1)
    assert numbered(path, columns={"text": "body"}) == [
        (1, {"body": "a", "labels": [1, 2]}),
        (2, {"body": None, "labels": []}),
    ]


def test_a_table_of_numbers_is_read_where_named(tmp_path: Path) -> None:
    import pyarrow as pa

    shares: list[dict[str, Any]] = [{"joy": 0.25, "fear": 0.75}, {"joy": 1.0, "fear": None}]
    maps = pa.array(
        [[("joy", 1.0)], [("joy", 0.5), ("fear", 0.5)]], pa.map_(pa.string(), pa.float64())
    )
    columns = {"text": ["a", "b"], "label": shares, "other": maps, "meta": [{"x": "y"}, {"x": "z"}]}
    path = parquet_of(tmp_path / "a.parquet", columns)
    named = {"text": "text", "label": "label", "other": "other"}
    assert read(path, columns=named) == [
        {"text": "a", "label": {"joy": 0.25, "fear": 0.75}, "other": {"joy": 1.0}},
        {"text": "b", "label": {"joy": 1.0, "fear": None}, "other": {"joy": 0.5, "fear": 0.5}},
    ]
    with one_problem(path, "column 'meta' holds structs or maps that are no tables of numbers"):
        read(path, columns={"text": "text", "meta": "meta"})


def test_a_parquet_column_may_have_a_dot(tmp_path: Path) -> None:
    path = parquet_of(tmp_path / "a.parquet", {"a": [1], "a.b": [2], "c": [{"d": 3}]})
    assert read(path) == [{"a": 1, "a.b": 2}]


def test_parquet_without_plain_or_with_double_columns_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = parquet_of(tmp_path / "a.parquet", {"meta": [{"x": 1}]})
    with one_problem(path, "no column of plain values"):
        read(path)
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with one_problem(path, "two columns are called 'a'"):
        read(path)


def test_a_parquet_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = parquet_of(
        tmp_path / "a.parquet", {"text": [f"text {i}" for i in range(500)]}
    ).read_bytes()
    for size in range(1, len(whole), 97):
        path = written(tmp_path / "b.parquet", whole[:size])
        with one_problem(path, "not a whole Parquet file"):
            read(path)


def test_parquet_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet_of(
        tmp_path / "a.parquet",
        {"text": ["x" * 10**6] * 20},
        use_dictionary=False,
        compression="zstd",
    )
    assert len(read(path)) == 20
    monkeypatch.setattr(parquet, "SUSPECT", 10**6)
    with one_problem(path, f"{path.stat().st_size:,} bytes that unpack to 0.02 GiB"):
        read(path)
    monkeypatch.setattr(parquet, "SUSPECT", 2**30)
    monkeypatch.setattr(parquet, "LARGEST", 10**7)
    with one_problem(path, f"{path.stat().st_size:,} bytes that unpack to"):
        read(path)


def test_parquet_of_long_repeated_texts_is_refused_on_the_way(tmp_path: Path) -> None:
    import pyarrow as pa

    index = [0] * 50_000 + [1] * 50_000
    texts = pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), ["a", "x" * 10**6])
    path = parquet_of(tmp_path / "a.parquet", {"text": texts}, dictionary_pagesize_limit=2**24)
    read_rows = 0
    with one_problem(path, f"{path.stat().st_size:,} bytes that unpack to 0.05 GiB or more"):
        for _ in READERS["parquet"].rows(SourceFile(path, Files(path.name), "mine: all")):
            read_rows += 1
    assert 49_900 <= read_rows < 50_100


def test_parquet_of_more_rows_than_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet_of(tmp_path / "a.parquet", {"label": ["joy"] * 5_000})
    assert len(read(path)) == 5_000
    monkeypatch.setattr(parquet, "ROWS_OF_ANY_FILE", 1_000)
    with one_problem(path, f"{path.stat().st_size:,} bytes that unpack to 5,000 rows"):
        read(path)


@pytest.mark.parametrize("group", [5, 200])
@pytest.mark.parametrize("encoding", [None, "PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_parquet_texts_are_read_whatever_their_encoding(
    tmp_path: Path, encoding: str | None, group: int
) -> None:
    texts = [None if number % 7 == 0 else f"text {number // 3}" for number in range(200)]
    options: dict[str, Any] = {"row_group_size": group}
    if encoding is not None:
        options |= {"use_dictionary": False, "column_encoding": encoding}
    path = parquet_of(tmp_path / "a.parquet", {"text": texts}, **options)
    assert [row["text"] for row in read(path)] == texts


def test_parquet_texts_written_from_a_dictionary_are_read_as_texts(tmp_path: Path) -> None:
    import pyarrow as pa

    column = pa.array(["joy", None, "joy", "fear"]).dictionary_encode()
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 1, 3, 4], pa.int32()), column)
    path = parquet_of(tmp_path / "a.parquet", {"label": column, "labels": lists})
    labels = [["joy"], [], [None, "joy"], ["fear"]]
    assert [row["label"] for row in read(path)] == ["joy", None, "joy", "fear"]
    assert [row["labels"] for row in read(path)] == labels


def test_a_parquet_cell_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet_of(tmp_path / "a.parquet", {"text": ["a", None, "x" * 5_000]})
    monkeypatch.setattr(parquet, "LONGEST", 1_000)
    with one_problem(path, "row 3 has a cell over 32 MB"):
        read(path)

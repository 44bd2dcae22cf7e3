"""Predictions as CSV, TSV, JSON Lines or Parquet: every row has the same columns, and every value is the one that it was."""

from __future__ import annotations

import csv
import datetime
import decimal
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.escaping import json_text, no_formula

if TYPE_CHECKING:
    import pyarrow

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

BATCH = 1024
"""Rows of Parquet that are written at a time."""

Row = Mapping[str, Any]


def write_rows(
    path: Path,
    ending: str,
    columns: Sequence[str],
    rows: Iterator[Row],
    spreadsheet_safe: bool = False,
    kinds: Mapping[str, pyarrow.DataType] | None = None,
) -> None:
    """Write rows in the format of an ending; a column that a row lacks is empty, or null where the format has it.

    `spreadsheet_safe` puts `'` before cells of CSV and TSV that a spreadsheet would compute. `kinds` are Parquet's types.
    """
    if ending == ".jsonl":
        _write_jsonl(path, columns, rows)
    elif ending == ".parquet":
        _write_parquet(path, columns, rows, kinds or {})
    else:
        _write_delimited(path, columns, rows, "\t" if ending == ".tsv" else ",", spreadsheet_safe)


def _write_delimited(path: Path, columns: Sequence[str], rows: Iterator[Row], delimiter: str, safe: bool) -> None:
    escape: Callable[[str], str] = no_formula if safe else str
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([escape(encodable(name)) for name in columns])
        for row in rows:
            cells = [_cell(name, row.get(name)) for name in columns]
            writer.writerow([escape(cell) if isinstance(cell, str) else cell for cell in cells])


def _cell(column: str, value: Any) -> str | int | float:
    """A value as a cell: nothing for null, a number in full, a list or an object as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        found = _as_json(column, value)
        return found if isinstance(found, str) else json_text(found)
    return value


def _write_jsonl(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json_text({name: _as_json(name, row.get(name)) for name in columns}) + "\n")


def _as_json(column: str, value: Any) -> Any:
    """A value as JSON can hold it: null for NaN and infinities, of which it has none; dates as ISO 8601 writes them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json(column, one) for one in value]
    if isinstance(value, dict):
        return {str(key): _as_json(column, one) for key, one in value.items()}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    found = f"the column '{clean(column)}' holds {type(value).__name__}, which CSV and JSON cannot hold"
    raise EmomtlError(Problem("--out", found, "write .parquet, or --no-keep, which leaves the input's columns out"))


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterator[Row], kinds: Mapping[str, pyarrow.DataType]) -> None:
    import pyarrow
    import pyarrow.parquet

    writer: pyarrow.parquet.ParquetWriter | None = None
    try:
        while chunk := list(islice(rows, BATCH)):
            known = kinds if writer is None else {field.name: field.type for field in writer.schema}
            arrays = {name: as_array(name, [row.get(name) for row in chunk], known.get(name)) for name in columns}
            table = pyarrow.table(arrays)
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def as_array(column: str, values: Sequence[Any], kind: pyarrow.DataType | None = None) -> pyarrow.Array:
    """The values of a column as Parquet holds them; an error where they are of no one kind."""
    import pyarrow

    values = [encodable(value) if isinstance(value, str) else value for value in values]
    try:
        return pyarrow.array(values, kind)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise mixed(column) from error


def mixed(column: str) -> EmomtlError:
    """The error for a column whose values have no one type."""
    found = f"the values of the column '{clean(column)}' are of different kinds, and a column of Parquet has one"
    return EmomtlError(Problem("--out", found, "write .jsonl, or --no-keep, which leaves the input's columns out"))


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""Predictions as CSV, TSV, JSON Lines or Parquet, with the same columns in every row."""

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
from emomtl.safety.escaping import encodable, json_text, no_formula

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
    types: Mapping[str, pyarrow.DataType] | None = None,
) -> None:
    """Write rows in the format of an ending.

    A column that a row lacks is empty, or null where the format has it. `spreadsheet_safe` puts `'`
    before cells of CSV and TSV that a spreadsheet would compute. `types` are Parquet's.
    """
    if ending == ".jsonl":
        _write_jsonl(path, columns, rows)
    elif ending == ".parquet":
        _write_parquet(path, columns, rows, types or {})
    else:
        delimiter = "\t" if ending == ".tsv" else ","
        escape = no_formula if spreadsheet_safe else str
        _write_delimited(path, columns, rows, delimiter, escape)


def _write_delimited(
    path: Path,
    columns: Sequence[str],
    rows: Iterator[Row],
    delimiter: str,
    escape: Callable[[str], str],
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([escape(encodable(name)) for name in columns])
        for row in rows:
            cells: list[str | int | float] = []
            for name in columns:
                cell = _cell(name, row.get(name))
                cells.append(escape(cell) if isinstance(cell, str) else cell)
            writer.writerow(cells)


def _cell(column: str, value: Any) -> str | int | float:
    """A value as a cell: empty for null, a number in full, a list or an object as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    converted = _as_json(column, value)
    return converted if isinstance(converted, str) else json_text(converted)


def _write_jsonl(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            converted = {name: _as_json(name, row.get(name)) for name in columns}
            file.write(json_text(converted) + "\n")


def _as_json(column: str, value: Any) -> Any:
    """A value as JSON can hold it: null for NaN and infinities, dates in ISO 8601."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json(column, item) for item in value]
    if isinstance(value, dict):
        return {str(key): _as_json(column, item) for key, item in value.items()}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    kind = type(value).__name__
    finding = f"the column '{clean(column)}' holds {kind}, which CSV and JSON cannot hold"
    remedy = "write .parquet, or --no-keep, which leaves the input's columns out"
    raise EmomtlError(Problem("--out", finding, remedy))


def _write_parquet(
    path: Path,
    columns: Sequence[str],
    rows: Iterator[Row],
    types: Mapping[str, pyarrow.DataType],
) -> None:
    import pyarrow
    import pyarrow.parquet

    writer: pyarrow.parquet.ParquetWriter | None = None
    try:
        while chunk := list(islice(rows, BATCH)):
            arrays = {}
            for name in columns:
                arrays[name] = as_array(name, [row.get(name) for row in chunk], types.get(name))
            table = pyarrow.table(arrays)
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(path, table.schema)
                types = {column.name: column.type for column in table.schema}
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def as_array(
    column: str, values: Sequence[Any], type_: pyarrow.DataType | None = None
) -> pyarrow.Array:
    """The values of a column as Parquet holds them; EmomtlError where they have no one type."""
    import pyarrow

    storable = [encodable(value) if isinstance(value, str) else value for value in values]
    try:
        return pyarrow.array(storable, type_)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise mixed_types(column) from error


def mixed_types(column: str) -> EmomtlError:
    """The error for a column whose values have no one type."""
    finding = (
        f"the values of the column '{clean(column)}' are of different kinds, "
        "and a column of Parquet has one"
    )
    remedy = "write .jsonl, or --no-keep, which leaves the input's columns out"
    return EmomtlError(Problem("--out", finding, remedy))

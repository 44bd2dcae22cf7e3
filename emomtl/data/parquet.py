"""Parquet, read a few rows at a time after a look at the sizes in its footer.

A file that by its footer unpacks to too much is refused before anything is unpacked. What is
unpacked is counted too, so that a file whose footer lies is refused once it has become too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emomtl.data.source_file import LONGEST, STRICT, Heard, SourceFile
from emomtl.errors import clean

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_AT_A_TIME = 64
"""Rows that are unpacked at a time.

Few, since a dictionary (or DELTA_BYTE_ARRAY, where a value can repeat the one before) makes long
texts out of a file that by its footer is small. Fewer rows are no safer, as pyarrow unpacks whole
pages, and more save about 4 microseconds a row.
"""

LARGEST = 64 * 2**30
SUSPECT, SUSPECT_RATIO = 32 * 2**20, 100
"""Bytes that any file may unpack to, and how many times its own size a larger one may."""

ROWS_OF_ANY_FILE = 1_000_000
"""Rows that any file may have; a larger one may have one for each byte."""


WRITTEN = "was the file written to its end?"


def rows(file: SourceFile, heard: Heard = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, from 1; a missing value is None.

    Columns with structs or maps inside are left out, unless the layout names them and they hold a
    table of numbers (a label's share by its name).
    """
    number = 0
    with _opened(file) as parquet:
        kept = _flat(file, parquet.schema_arrow)
        ours = file.names(kept)
        _check_footer(file, parquet)
        for values in _batches(file, parquet, kept):
            for cells in zip(*values, strict=True):
                number += 1
                yield number, dict(zip(ours, cells, strict=True))


def names(file: SourceFile) -> list[str]:
    """The columns' names, from the schema."""
    with _opened(file) as parquet:
        return file.names(_flat(file, parquet.schema_arrow))


@contextmanager
def _opened(file: SourceFile) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.path.stat().st_size == 0:
            raise file.error("the file is empty")
        parquet = pq.ParquetFile(
            file.path,
            pre_buffer=False,
            buffer_size=2**20,
            page_checksum_verification=True,
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
            raise file.unreadable(error) from error
        problem = f"not a whole Parquet file: {clean(str(error), 160)}"
        raise file.error(problem, "was it copied to its end?") from error
    with parquet:
        yield parquet


def _check_footer(file: SourceFile, parquet: pq.ParquetFile) -> None:
    """Refuse a file whose footer says that it unpacks to too much.

    Only row groups are asked, as pyarrow's view of a column ends the process where the footer's
    statistics are broken.
    """
    size = file.path.stat().st_size
    rows = unpacked = 0
    for number in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(number)
        if group.num_rows < 0 or group.total_byte_size < 0:
            raise file.error("broken: its footer has a negative size", WRITTEN)
        rows += group.num_rows
        unpacked += group.total_byte_size
        _check_unpacked(file, size, unpacked, rows)


def _check_unpacked(
    file: SourceFile,
    size: int,
    unpacked: int,
    rows: int,
    or_more: str = "",
) -> None:
    if unpacked > min(LARGEST, max(SUSPECT, SUSPECT_RATIO * size)):
        problem = f"{size:,} bytes that unpack to {unpacked / 2**30:,.2f} GiB{or_more}"
        limits = f"{SUSPECT_RATIO} times the file above {SUSPECT // 2**20} MB"
        raise file.error(problem, f"at most {limits}, and {LARGEST // 2**30} GB, are read")
    if rows > max(ROWS_OF_ANY_FILE, size):
        problem = f"{size:,} bytes that unpack to {rows:,} rows"
        most = max(ROWS_OF_ANY_FILE, size)
        raise file.error(problem, f"at most {most:,} are read of such a file")


def _flat(file: SourceFile, schema: pa.Schema) -> list[str]:
    named = file.layout.columns if isinstance(file.layout.columns, Mapping) else {}
    nested = [field for field in schema if _has_struct(field.type)]
    wrong = [field.name for field in nested if field.name in named and not _is_table(field.type)]
    if wrong and not file.layout.sensitive:
        found = f"column '{clean(wrong[0])}' holds structs or maps that are no tables of numbers"
        remedy = "read are plain values, lists of them, and tables of a number by name"
        raise file.error(found, remedy)
    tables = {field.name for field in nested if field.name in named and _is_table(field.type)}
    left_out = {field.name for field in nested} - tables
    kept = [field.name for field in schema if field.name not in left_out]
    if not kept:
        raise file.error("no column of plain values", "columns of structs and maps are not read")
    return kept


def _is_table(kind: pa.DataType) -> bool:
    """Whether each cell is a table of numbers by name: a struct or a map from texts to numbers."""
    import pyarrow.types as types

    if types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return bool(fields) and all(_is_number(field.type) for field in fields)
    return types.is_map(kind) and types.is_string(kind.key_type) and _is_number(kind.item_type)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    kinds = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _values(file: SourceFile, column: pa.Array) -> list[Any]:
    """The cells of a column as Python has them; a map, which pyarrow gives as pairs, as a table."""
    import pyarrow.types as types

    if not types.is_map(column.type):
        return list(column.to_pylist())
    cells = column.to_pylist()
    if any(cell is not None and len(dict(cell)) < len(cell) for cell in cells):
        raise file.error("a map names a key twice", "give each label once")
    return [None if cell is None else dict(cell) for cell in cells]


def _has_struct(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind) or types.is_map(kind) or types.is_union(kind):
        return True
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _has_struct(kind.value_type)
    return False


def _batches(file: SourceFile, parquet: pq.ParquetFile, kept: list[str]) -> Iterator[list[Any]]:
    """The values of each batch, column by column.

    Whatever pyarrow finds broken on the way becomes an error about the file.
    """
    import pyarrow as pa

    before = unpacked = 0
    try:
        size = file.path.stat().st_size
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, columns=kept):
            by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns = [_without_sharing(by_name[name]) for name in kept]
            batch_bytes = sum(column.nbytes for column in columns)
            unpacked += batch_bytes
            rows = before + batch.num_rows
            _check_unpacked(file, size, unpacked, rows, " or more")
            if batch_bytes > LONGEST:
                _check_cells(file, columns, before)
            yield [_values(file, column) for column in columns]
            before = rows
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        OverflowError,
        MemoryError,
    ) as error:
        problem = f"broken after row {before}: {clean(str(error), 160)}"
        raise file.error(problem, WRITTEN) from error


def _without_sharing(column: pa.Array) -> pa.Array:
    """The column with each value in full, so that its bytes are those that Python will need.

    A column that was written from a dictionary, or from views, has each text once.
    """
    kind = _without_dictionary(column.type)
    return column if kind == column.type else column.cast(kind)


def _without_dictionary(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _without_dictionary(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_list(kind):
        return pa.list_(_without_dictionary(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_without_dictionary(kind.value_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(_without_dictionary(kind.value_type), kind.list_size)
    return kind


def _check_cells(file: SourceFile, columns: list[pa.Array], before: int) -> None:
    import pyarrow.types as types

    for column in columns:
        if types.is_string(column.type) or types.is_large_string(column.type):
            for row, cell in enumerate(column, before + 1):
                if cell.is_valid and cell.as_buffer().size > LONGEST:
                    raise file.error(f"row {row} has a cell over 32 MB")

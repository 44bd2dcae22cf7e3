"""Parquet, read a few rows at a time after a look at the sizes in its footer.

A file that by its footer unpacks to too much is refused before anything is unpacked. What is
unpacked is counted too, so that a file whose footer lies is refused once it has become too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emomtl.data.source_file import LONGEST, RawRow, SourceFile
from emomtl.errors import clean

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FEWEST_ROWS, MOST_ROWS = 64, 1024
BATCH_BYTES = 64 * 2**20
"""Rows that are unpacked at a time, and the bytes that more than the fewest may become.

A dictionary (or DELTA_BYTE_ARRAY, where a value can repeat the one before) makes long texts out of
a file that by its footer is small: each row may hold a value as large as its row group. So there
are more rows at a time only where all of them with such a value stay below `BATCH_BYTES`. Fewer
than 64 rows are no safer, as pyarrow unpacks whole pages.
"""

LARGEST = 64 * 2**30
SUSPECT, SUSPECT_RATIO = 32 * 2**20, 100
"""Bytes that any file may unpack to, and how many times its own size a larger one may."""

ROWS_OF_ANY_FILE = 1_000_000
"""Rows that any file may have; a larger one may have one for each byte."""

WRITTEN = "was the file written to its end?"


def rows(file: SourceFile) -> Iterator[RawRow]:
    """Each row with its number, from 1; a missing value is None.

    Columns with structs or maps inside are left out, unless the layout names them and they hold a
    table of numbers (a label's share by its name).
    """
    number = 0
    with _opened(file) as parquet:
        columns = _flat_columns(file, parquet.schema_arrow)
        ours = file.names(columns)
        rows_at_a_time = _check_footer(file, parquet)
        for values in _batches(file, parquet, columns, rows_at_a_time):
            for cells in zip(*values, strict=True):
                number += 1
                yield RawRow(number, dict(zip(ours, cells, strict=True)))


def names(file: SourceFile) -> list[str]:
    """The columns' names, from the schema."""
    with _opened(file) as parquet:
        return file.names(_flat_columns(file, parquet.schema_arrow))


@contextmanager
def _opened(file: SourceFile) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.path.stat().st_size == 0:
            raise file.error("the file is empty")
        # Without pre_buffer, which would load whole row groups ahead.
        parquet = pq.ParquetFile(
            file.path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
            raise file.unreadable(error) from error
        found = f"not a whole Parquet file: {clean(str(error), 160)}"
        raise file.error(found, "was it copied to its end?") from error
    with parquet:
        yield parquet


def _check_footer(file: SourceFile, parquet: pq.ParquetFile) -> int:
    """How many rows to unpack at a time. EmomtlError for a footer that says it becomes too much.

    Only row groups are asked, as pyarrow's view of a column ends the process where the footer's
    statistics are broken.
    """
    size = file.path.stat().st_size
    rows = unpacked = largest_group = 0
    for number in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(number)
        if group.num_rows < 0 or group.total_byte_size < 0:
            raise file.error("broken: its footer has a negative size", WRITTEN)
        rows += group.num_rows
        unpacked += group.total_byte_size
        largest_group = max(largest_group, group.total_byte_size)
        _check_unpacked(file, size, unpacked, rows)
    fitting = BATCH_BYTES // max(1, largest_group)
    return min(MOST_ROWS, max(FEWEST_ROWS, fitting))


def _check_unpacked(
    file: SourceFile, size: int, unpacked: int, rows: int, or_more: str = ""
) -> None:
    """Refuse a file of `size` bytes that unpacks to so many bytes, or rows."""
    if unpacked > min(LARGEST, max(SUSPECT, SUSPECT_RATIO * size)):
        found = f"{size:,} bytes that unpack to {unpacked / 2**30:,.2f} GiB{or_more}"
        limits = f"{SUSPECT_RATIO} times the file above {SUSPECT // 2**20} MB"
        raise file.error(found, f"at most {limits}, and {LARGEST // 2**30} GB, are read")
    most = max(ROWS_OF_ANY_FILE, size)
    if rows > most:
        found = f"{size:,} bytes that unpack to {rows:,} rows"
        raise file.error(found, f"at most {most:,} are read of such a file")


def _flat_columns(file: SourceFile, schema: pa.Schema) -> list[str]:
    """The names of the columns that are read: plain values, lists, and named tables of numbers."""
    wanted = file.layout.columns if isinstance(file.layout.columns, Mapping) else {}
    columns = []
    for field in schema:
        if not _has_struct(field.type) or (field.name in wanted and _is_table(field.type)):
            columns.append(field.name)
        elif field.name in wanted and not file.layout.sensitive:
            found = f"column '{clean(field.name)}' holds structs or maps "
            found += "that are no tables of numbers"
            remedy = "read are plain values, lists of them, and tables of a number by name"
            raise file.error(found, remedy)
    if not columns:
        remedy = "columns of structs and maps are not read"
        raise file.error("no column of plain values", remedy)
    return columns


def _is_table(kind: pa.DataType) -> bool:
    """Whether a cell is a table of numbers by name: a struct or a map from texts to numbers."""
    import pyarrow.types as types

    if types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return bool(fields) and all(_is_number(field.type) for field in fields)
    return types.is_map(kind) and types.is_string(kind.key_type) and _is_number(kind.item_type)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    checks = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(check(kind) for check in checks)


def _has_struct(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind) or types.is_map(kind) or types.is_union(kind):
        return True
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _has_struct(kind.value_type)
    return False


def _batches(
    file: SourceFile, parquet: pq.ParquetFile, columns: list[str], rows_at_a_time: int
) -> Iterator[list[list[Any]]]:
    """The values of each batch, column by column. What pyarrow finds broken is the file's error."""
    import pyarrow as pa

    rows = unpacked = 0
    try:
        size = file.path.stat().st_size
        # One thread: two take longer for so few rows at a time.
        for batch in parquet.iter_batches(rows_at_a_time, columns=columns, use_threads=False):
            # pyarrow gives columns in the file's order, and a nested one by its path.
            by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
            arrays = [_without_sharing(by_name[name]) for name in columns]
            batch_bytes = sum(array.nbytes for array in arrays)
            unpacked += batch_bytes
            _check_unpacked(file, size, unpacked, rows + batch.num_rows, " or more")
            if batch_bytes > LONGEST:
                _check_cells(file, arrays, rows)
            yield [_values(file, array) for array in arrays]
            rows += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        found = f"broken after row {rows}: {clean(str(error), 160)}"
        raise file.error(found, WRITTEN) from error


def _values(file: SourceFile, array: pa.Array) -> list[Any]:
    """The cells of a column as Python has them; a map, which pyarrow gives as pairs, as a dict."""
    import pyarrow.types as types

    cells = list(array.to_pylist())
    if not types.is_map(array.type):
        return cells
    tables = [None if cell is None else dict(cell) for cell in cells]
    for cell, table in zip(cells, tables, strict=True):
        if table is not None and len(table) < len(cell):
            raise file.error("a map names a key twice", "give each label once")
    return tables


def _without_sharing(array: pa.Array) -> pa.Array:
    """The column with each value in full, so that its bytes are those that Python will need.

    A column that was written from a dictionary, or from views, has each text once.
    """
    kind = _without_dictionary(array.type)
    return array if kind == array.type else array.cast(kind)


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


def _check_cells(file: SourceFile, arrays: list[pa.Array], rows_before: int) -> None:
    """Refuse a text over 32 MB."""
    import pyarrow.types as types

    for array in arrays:
        if types.is_string(array.type) or types.is_large_string(array.type):
            for row, cell in enumerate(array, rows_before + 1):
                if cell.is_valid and cell.as_buffer().size > LONGEST:
                    raise file.error(f"row {row} has a cell over 32 MB")

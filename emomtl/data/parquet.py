"""Parquet, read batch by batch after its pages were measured: no row group is ever whole in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emomtl.data.parquet_pages import Broken, chunk_of, row_groups
from emomtl.data.source_file import LONGEST, STRICT, Heard, SourceFile
from emomtl.errors import clean

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH, BATCH_BYTES = 4_096, 16 * 2**20
"""Rows that are unpacked at a time, fewer where they are wide."""

LARGEST = 64 * 2**30
SUSPECT, SUSPECT_RATIO = 32 * 2**20, 100
"""Bytes that any file may unpack to, and how many times its own size a larger one may."""

FEW_VALUES = 1_000_000
"""Values that a column of any file may have; beyond, it may have one for each byte of the file."""


def rows(file: SourceFile, heard: Heard = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, from 1; a missing value is None.

    Columns with structs or maps inside are left out, unless the layout names them and they hold a table of
    numbers (a label's share by its name).
    """
    number = 0
    with _opened(file) as parquet:
        kept = _flat(file, parquet.schema_arrow)
        ours = file.names(kept)
        for values in _batches(file, parquet, kept, _measured(file, set(kept))):
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
        parquet = pq.ParquetFile(file.path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
            raise file.unreadable(error) from error
        raise file.error(f"not a whole Parquet file: {clean(str(error), 160)}", "was it copied to its end?") from error
    with parquet:
        yield parquet


def _measured(file: SourceFile, kept: Collection[str]) -> list[int]:
    """The rows of each row group that may be unpacked at a time.

    Refuses what would unpack to more than any corpus: too many bytes, or too many values. The pages themselves are asked, as a
    footer can lie, and a dictionary of one long text may stand for a million rows.
    """
    size = file.path.stat().st_size
    most, values = min(LARGEST, max(SUSPECT, SUSPECT_RATIO * size)), max(FEW_VALUES, size)
    unpacked, counted, rows = 0, dict.fromkeys(kept, 0), []
    try:
        with file.path.open("rb") as stream:
            for group in row_groups(stream):
                widest = 1.0
                for column in group:
                    name = column.path[0] if column.path else ""
                    if name in counted:
                        chunk = chunk_of(stream, column, most)
                        unpacked, counted[name] = unpacked + chunk.bytes, counted[name] + chunk.values
                        widest = max(widest, chunk.widest)
                        _check_size(file, size, unpacked, most, counted[name], values)
                rows.append(max(1, min(BATCH, int(BATCH_BYTES / widest))))
    except (Broken, OSError, ValueError, OverflowError) as error:
        raise file.error(f"broken: {clean(str(error), 160)}", "was the file written to its end?") from error
    return rows


def _check_size(file: SourceFile, size: int, unpacked: int, most: int, counted: int, values: int) -> None:
    if unpacked > most:
        remedy = f"at most {SUSPECT_RATIO} times the file above {SUSPECT // 2**20} MB, and {LARGEST // 2**30} GB, are read"
        raise file.error(f"{size:,} bytes that unpack to {unpacked / 2**30:,.2f} GiB", remedy)
    if counted > values:
        raise file.error(f"{size:,} bytes that unpack to {counted:,} values", f"at most {values:,} are read of such a file")


def _flat(file: SourceFile, schema: pa.Schema) -> list[str]:
    named = file.layout.columns if isinstance(file.layout.columns, Mapping) else {}
    nested = [field for field in schema if _has_struct(field.type)]
    wrong = [field.name for field in nested if field.name in named and not _is_table(field.type)]
    if wrong and not file.layout.sensitive:
        found = f"column '{clean(wrong[0])}' holds structs or maps that are no tables of numbers"
        raise file.error(found, "read are plain values, lists of them, and tables of a number by name")
    left_out = {field.name for field in nested if field.name not in named or not _is_table(field.type)}
    kept = [field.name for field in schema if field.name not in left_out]
    if not kept:
        raise file.error("no column of plain values", "columns of structs and maps are not read")
    return kept


def _is_table(kind: pa.DataType) -> bool:
    """Whether each cell is a table of numbers by name: a struct of numbers, or a map from texts to numbers."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_number(kind.field(i).type) for i in range(kind.num_fields))
    return types.is_map(kind) and types.is_string(kind.key_type) and _is_number(kind.item_type)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_boolean, types.is_null))


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


def _batches(file: SourceFile, parquet: pq.ParquetFile, kept: list[str], rows: Sequence[int]) -> Iterator[list[list[Any]]]:
    """The values of each batch, column by column; whatever pyarrow finds broken on the way becomes an error about the file."""
    import pyarrow as pa

    before = 0
    try:
        for batch in (one for group, most in enumerate(rows) for one in parquet.iter_batches(most, [group], kept)):
            by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns = [by_name[name] for name in kept]
            if batch.nbytes > LONGEST:
                _check_cells(file, columns, before)
            yield [_values(file, column) for column in columns]
            before += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise file.error(f"broken after row {before}: {clean(str(error), 160)}", "was the file written to its end?") from error


def _check_cells(file: SourceFile, columns: list[pa.Array], before: int) -> None:
    import pyarrow.types as types

    for column in columns:
        if types.is_string(column.type) or types.is_large_string(column.type):
            for row, cell in enumerate(column, before + 1):
                if cell.is_valid and cell.as_buffer().size > LONGEST:
                    raise file.error(f"row {row} has a cell over 32 MB")

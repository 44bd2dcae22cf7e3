"""Parquet, read batch by batch after its footer was checked: no row group is ever whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emomtl.data.source_file import LONGEST, SourceFile
from emomtl.errors import clean

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 4_096
LARGEST = 64 * 2**30
SUSPECT, SUSPECT_RATIO = 2**30, 1_000


def rows(file: SourceFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, from 1. Columns with structs or maps inside are left out; a missing value is None."""
    number = 0
    with _opened(file) as parquet:
        kept = _flat(file, parquet.schema_arrow)
        ours = file.names(kept)
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
        size = file.path.stat().st_size
        if size == 0:
            raise file.error("the file is empty")
        parquet = pq.ParquetFile(file.path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
            raise file.unreadable(error) from error
        raise file.error(f"not a whole Parquet file: {clean(str(error), 160)}", "was it copied to its end?") from error
    with parquet:
        _check_size(file, parquet.metadata, size)
        yield parquet


def _check_size(file: SourceFile, footer: pq.FileMetaData, size: int) -> None:
    """Refuses what would unpack to more than any corpus, by what the footer says; nothing is unpacked for it."""
    unpacked = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
    if unpacked > LARGEST or (unpacked > SUSPECT and unpacked > SUSPECT_RATIO * size):
        raise file.error(
            f"{size:,} bytes that unpack to {unpacked / 2**30:,.1f} GiB",
            f"at most {LARGEST // 2**30} GiB are read, and at most {SUSPECT_RATIO} times the file above {SUSPECT // 2**30} GiB",
        )


def _flat(file: SourceFile, schema: pa.Schema) -> list[str]:
    kept = [field.name for field in schema if not _has_struct(field.type)]
    if not kept:
        raise file.error("no column of plain values", "columns of structs and maps are not read")
    return kept


def _has_struct(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind) or types.is_map(kind) or types.is_union(kind):
        return True
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _has_struct(kind.value_type)
    return False


def _batches(file: SourceFile, parquet: pq.ParquetFile, kept: list[str]) -> Iterator[list[list[Any]]]:
    """The values of each batch, column by column; whatever pyarrow finds broken on the way becomes an error about the file."""
    import pyarrow as pa

    before = 0
    try:
        for batch in parquet.iter_batches(batch_size=BATCH, columns=kept):
            by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns = [by_name[name] for name in kept]
            if batch.nbytes > LONGEST:
                _check_cells(file, columns, before)
            yield [column.to_pylist() for column in columns]
            before += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise file.error(f"broken after row {before}: {clean(str(error), 160)}", "was the file written to its end?") from error


def _check_cells(file: SourceFile, columns: list[pa.Array], before: int) -> None:
    import pyarrow.types as types

    for column in columns:
        if types.is_string(column.type) or types.is_large_string(column.type):
            for row, cell in enumerate(column, before + 1):
                if cell.is_valid and cell.as_buffer().size > LONGEST:
                    raise file.error(f"row {row} has a cell over 64 MB")

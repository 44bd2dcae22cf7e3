"""A source that was found: its splits, their rows, and where a row stands."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from emomtl.contracts.sources import Source
from emomtl.data.source_file import RawRow, without_bad
from emomtl.errors import EmomtlError, Problem, clean

BLOCK = 2**20
FILE_STRIDE = 10**12
"""Row numbers of a split's second file start here, those of its third at twice this."""


def row_place(split: str, number: int) -> str:
    """Where a row stands: its split, and its line (Parquet, hub: row) in the source's file."""
    file, line = divmod(number, FILE_STRIDE)
    return f"{split} row {line:,}" + (f" of file {file + 1}" if file else "")


class Located(ABC):
    """A source that was found.

    `identity` is equal for two tasks exactly when they read the same rows in the same way. One that
    means nothing to another process is not `lasting`, and its rows are not cached. Rows whose split
    is unknown stand under the split `all`.
    """

    identity: str
    layout: Source
    lasting: bool = True

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits of the source, in the order train, validation, test; or `all` alone."""

    @abstractmethod
    def rows_with_bad(self, split: str) -> Iterator[RawRow]:
        """The rows of a split, bad ones among them. EmomtlError where a file cannot be read."""

    def rows(self, split: str) -> Iterator[RawRow]:
        """The rows of a split. EmomtlError, with its line, for a bad one."""
        return without_bad(self.rows_with_bad(split))

    @abstractmethod
    def place(self, split: str, number: int) -> tuple[str, int]:
        """The file (or hub data set) and the line (or row) of a row number, for messages."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A SHA-256 over each split's name and content."""

    @property
    def notes(self) -> list[str]:
        """What stands beside the source and is not read."""
        return []

    def _lacks(self, task: str, split: str) -> EmomtlError:
        found = f"{self.layout} has no split '{split}'"
        return EmomtlError(Problem(f"tasks.{task}", found, f"it has: {', '.join(self.splits)}"))


def content_digest(paths_by_split: Mapping[str, Sequence[Path]], task: str) -> str:
    """A SHA-256 over each file's split, size and bytes; where the files lie makes no difference."""
    digest = hashlib.sha256()
    for split, paths in paths_by_split.items():
        for path in paths:
            try:
                digest.update(f"{split}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as stream:
                    while block := stream.read(BLOCK):
                        digest.update(block)
            except OSError as error:
                found = f"cannot be read: {error.strerror or clean(str(error))}"
                remedy = "see that the file exists and may be read"
                raise EmomtlError(Problem(f"{task}: {split}", found, remedy, str(path))) from error
    return digest.hexdigest()

"""A source that was found: which splits it has, their rows, what tells it from another, and where a row stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emomtl.contracts.sources import Source
from emomtl.data.source_file import STRICT, Heard
from emomtl.errors import EmomtlError, Problem

FILE_STRIDE = 10**12
"""Row numbers of a split's second file start here, those of its third at twice this: a number tells the file and the line."""


def said_place(split: str, number: int) -> str:
    """Where a row stands, by its number: its split, and its line (Parquet, hub: row) in the source's file."""
    file, line = divmod(number, FILE_STRIDE)
    return f"{split} row {line:,}" + (f" of file {file + 1}" if file else "")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as its file has it: the line on which it starts (CSV, TSV, JSONL) or its number (Parquet, hub), from 1."""

    number: int
    values: Mapping[str, Any]


class Located(ABC):
    """A source that was found: which splits it has, their rows, and what tells it from another.

    `identity` is equal for two tasks exactly when they read the same rows in the same way. Rows whose split is unknown
    stand under the split `all`. Not `lasting` is an identity that means nothing to another process: its rows are not cached.
    """

    identity: str
    layout: Source
    complete: bool = True
    lasting: bool = True

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits that the source has, in the order train, validation, test; or `all` alone."""

    @abstractmethod
    def rows(self, split: str, heard: Heard = STRICT) -> Iterator[RawRow]:
        """The rows of a split, one after another; what is wrong with a file is an `EmomtlError` with its line.

        `heard` is told of bad rows, by their numbers, and the rest goes on; without it the first one is such an error.
        """

    @abstractmethod
    def place(self, split: str, number: int) -> tuple[str, int]:
        """The file (or hub data set) and the line (or row) of a row number, for messages."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A sha256 over each split's name and content."""

    @property
    def notes(self) -> list[str]:
        """What there is to say of the source when it is read: what stands there and is not read."""
        return []

    def _lacks(self, task: str, split: str) -> EmomtlError:
        return EmomtlError(Problem(f"tasks.{task}", f"{self.layout} has no split '{split}'", f"it has: {', '.join(self.splits)}"))


class Deaf(Heard):
    """Passes over bad rows, of which somebody else is told; the `first` is remembered."""

    def __init__(self) -> None:
        self.first: EmomtlError | None = None

    def bad(self, line: int, error: Callable[[], EmomtlError]) -> None:
        """Nothing but the first is remembered."""
        self.first = self.first or error()


@dataclass(frozen=True)
class InFile(Heard):
    """Hears lines of one file and tells of row numbers, which begin at `offset`."""

    heard: Heard
    offset: int

    def bad(self, line: int, error: Callable[[], EmomtlError]) -> None:
        """A row that cannot be read."""
        self.heard.bad(self.offset + line, error)

    def many_lines(self, line: int, count: int) -> None:
        """A row over many lines."""
        self.heard.many_lines(self.offset + line, count)

    def wrapped(self, line: int) -> None:
        """A cell in quotes that are part of it."""
        self.heard.wrapped(self.offset + line)

"""One file of a corpus: its path, the layout that it is read by, its kind by ending, and how it reports what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from emomtl.contracts.sources import Files
from emomtl.errors import EmomtlError, Problem, clean, suggest

MANY_LINES = 5
"""Lines of a row of which nothing is said."""


class Heard:
    """What a reader tells of the rows on its way; this one stops at the first bad row and hears nothing else."""

    def bad(self, line: int, error: Callable[[], EmomtlError]) -> None:
        """A row that cannot be read and is left out; what the reader goes on after. Of ten million bad rows ten are told of,
        so `error` makes the error where it is wanted."""
        raise error()

    def many_lines(self, line: int, count: int) -> None:
        """A row that runs over more lines than a cell usually does."""

    def wrapped(self, line: int) -> None:
        """A row with a cell in quotes that are read as a part of the text."""


STRICT = Heard()

Kind = Literal["delimited", "jsonl", "parquet"]
KINDS: Mapping[str, Kind] = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json-lines": "jsonl",
    ".parquet": "parquet",
}
HINTS = {
    ".json": "one object a line is called .jsonl",
    ".xlsx": "save the sheet as CSV (UTF-8)",
    ".xls": "save the sheet as CSV (UTF-8)",
    ".ods": "save the sheet as CSV (UTF-8)",
    **dict.fromkeys((".txt", ".tab", ".dat"), "a `delimiter` makes it read"),
}
"""What to do about files with an ending that is not read."""

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz")
MOST_COLUMNS = 10_000
HIDDEN = "what the file holds is not shown: the task is sensitive"
MOST_CELLS = 1_000_000
"""Delimiters in one row: each cell costs some 60 bytes of memory, and may be two bytes of the file."""

LONGEST = 32 * 2**20
"""Characters that one line or one row may have; what is longer is a broken file (an open quote) rather than a text."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source; `place` (task and split, say) stands in every error about it."""

    path: Path
    layout: Files
    place: str

    @property
    def kind(self) -> Kind:
        """How the file is read; its ending was checked when it was located."""
        return KINDS.get(self.path.suffix.lower(), "delimited")

    @cached_property
    def delimiter(self) -> str:
        """The character between two cells: the layout's, else by ending."""
        return self.layout.delimiter or ("\t" if self.path.suffix.lower() == ".tsv" else ",")

    def error(self, found: str, remedy: str = "", line: int | None = None) -> EmomtlError:
        """An error about this file, to be raised by the caller."""
        return EmomtlError(Problem(self.place, found, remedy, str(self.path), line))

    def unreadable(self, error: OSError) -> EmomtlError:
        """The error for a file that the system does not let us read."""
        return self.error(f"cannot be read: {error.strerror or clean(str(error))}", "see that the file exists and may be read")

    def names(self, found: Sequence[str], line: int | None = None) -> list[str]:
        """The columns as `read` expects them, checked; see `our_names`. Of a sensitive file no name is said."""
        try:
            return our_names(found, self.layout.columns, lambda what, remedy: self.error(what, remedy, line))
        except EmomtlError:
            if not self.layout.sensitive:
                raise
            wanted = f"are not the layout's ({', '.join(self.layout.columns)})" if self.layout.columns else "have no usable names"
            raise self.error(f"the columns {wanted}", HIDDEN, line) from None

    def options(self) -> dict[str, Any]:
        """All that decides how this file reads, and nothing that does not: equal options, equal rows."""
        columns = self.layout.columns
        said: dict[str, Any] = {
            "kind": self.kind,
            "columns": dict(columns) if isinstance(columns, Mapping) else list(columns or ()),
            "split_column": self.layout.split_column,
        }
        if self.kind != "parquet":
            said["encoding"] = self.layout.encoding.lower().replace("_", "-")
        if self.kind == "delimited":
            said |= {"delimiter": self.delimiter, "header": self.layout.header, "quoting": self.layout.quoting or "csv"}
        return said


def unread_ending(path: Path, layout: Files) -> str:
    """Why a file with this ending is not read; empty where it is. An explicit delimiter allows any ending that is not packed."""
    ending = path.suffix.lower()
    if ending in PACKED:
        return f"'{path.name}' is compressed; unpack it first"
    if ending in KINDS or (layout.delimiter and ending):
        return ""
    hint = f"; {HINTS[ending]}" if ending in HINTS else ""
    return f"the ending of '{path.name}' is none of {', '.join(KINDS)}{hint}"


def our_names(
    found: Sequence[str], columns: Sequence[str] | Mapping[str, str] | None, fail: Callable[[str, str], EmomtlError]
) -> list[str]:
    """The names of a file's columns after renaming (`columns`, theirs -> ours), in the file's order.

    Refused: over 10,000 columns, a name twice, no name (but for the first column, where pandas leaves its index
    unnamed, and the last, where a separator ends each line), a column that `columns` names and the file lacks, two columns
    that would get one name.
    """
    if len(found) > MOST_COLUMNS:
        raise fail(f"{len(found)} columns", f"at most {MOST_COLUMNS} are read; is the delimiter right?")
    twice = _twice(found)
    if twice:
        raise fail(f"two columns are called '{clean(twice)}'", "give each column a name of its own")
    unnamed = [number for number, name in enumerate(found[1:-1], 2) if not name.strip()]
    if unnamed:
        raise fail(f"column {unnamed[0]} has no name", "name each column in the header")
    if columns is None:
        return list(found)
    if not isinstance(columns, Mapping):
        raise fail("the columns have names of their own", "a list of columns is for files without header; give a mapping")
    missing = [name for name in columns if name not in found]
    if missing:
        shown = ", ".join(f"'{clean(name)}'" for name in missing)
        raise fail(f"no column {shown}", suggest(missing[0], [clean(name, 40) for name in found]))
    ours = [columns.get(name, name) for name in found]
    twice = _twice(ours)
    if twice:
        theirs = " and ".join(f"'{clean(name)}'" for name, renamed in zip(found, ours, strict=True) if renamed == twice)
        raise fail(f"the columns {theirs} would both be called '{clean(twice)}'", "rename the other one, too")
    return ours


def _twice(names: Sequence[str]) -> str:
    return next((name for name, times in Counter(names).items() if times > 1), "")

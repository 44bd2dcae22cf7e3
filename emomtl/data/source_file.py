"""One file of a corpus: its path, the layout it is read by, and how it reports what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from emomtl.contracts.sources import Files
from emomtl.errors import EmomtlError, Problem, clean, suggest

Columns = Sequence[str] | Mapping[str, str] | None
"""The `columns` of a layout: a list of names, or their names -> ours."""

MANY_LINES = 5
"""Lines that a row may have before its number of lines is noted."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as its file has it, or a bad row, which has no values and an `error`.

    `number` is the line on which it starts (CSV, TSV, JSONL) or its number (Parquet, hub), from 1.
    Of ten million bad rows ten are shown, so `error` makes the error where it is wanted.
    `many_lines` are the lines of a row with more than a cell usually has, and `has_quotes` tells
    that a cell in quotes is read with them.
    """

    number: int
    values: Mapping[str, Any]
    error: Callable[[], EmomtlError] | None = None
    many_lines: int = 0
    has_quotes: bool = False


def without_bad(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """The rows; raises the error of the first bad one."""
    for row in rows:
        if row.error is not None:
            raise row.error()
        yield row


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
HIDDEN = "what the file holds is not shown: the task is sensitive"
MOST_COLUMNS = 10_000
MOST_CELLS = 1_000_000
"""Delimiters in one row: a cell costs some 60 bytes of memory, and may be two bytes of the file."""

LONGEST = 32 * 2**20
"""Characters that one line or row may have; more are a broken file, such as an open quote."""


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
        by_ending = "\t" if self.path.suffix.lower() == ".tsv" else ","
        return self.layout.delimiter or by_ending

    def error(self, found: str, remedy: str = "", line: int | None = None) -> EmomtlError:
        """An error about this file, to be raised by the caller."""
        return EmomtlError(Problem(self.place, found, remedy, str(self.path), line))

    def unreadable(self, error: OSError) -> EmomtlError:
        """The error for a file that the system does not let us read."""
        found = f"cannot be read: {error.strerror or clean(str(error))}"
        return self.error(found, "see that the file exists and may be read")

    def names(self, names: Sequence[str], line: int | None = None) -> list[str]:
        """The columns as `read` expects them; see `renamed`. A sensitive file's are not shown."""

        def fail(found: str, remedy: str) -> EmomtlError:
            return self.error(found, remedy, line)

        try:
            return renamed(names, self.layout.columns, fail)
        except EmomtlError:
            if not self.layout.sensitive:
                raise
            wanted = "have no usable names"
            if self.layout.columns:
                wanted = f"are not the layout's ({', '.join(self.layout.columns)})"
            raise self.error(f"the columns {wanted}", HIDDEN, line) from None

    def options(self) -> dict[str, Any]:
        """All that decides how this file reads, and nothing else: equal options, equal rows."""
        columns = self.layout.columns
        options: dict[str, Any] = {
            "kind": self.kind,
            "columns": dict(columns) if isinstance(columns, Mapping) else list(columns or ()),
            "split_column": self.layout.split_column,
        }
        if self.kind != "parquet":
            options["encoding"] = self.layout.encoding.lower().replace("_", "-")
        if self.kind == "delimited":
            options["delimiter"] = self.delimiter
            options["header"] = self.layout.header
            options["quoting"] = self.layout.quoting or "csv"
        return options


def unread_ending(path: Path, layout: Files) -> str:
    """Why a file with this ending is not read; empty where it is.

    An explicit delimiter allows any ending that is not packed.
    """
    ending = path.suffix.lower()
    if ending in PACKED:
        return f"'{path.name}' is compressed; unpack it first"
    if ending in KINDS or (layout.delimiter and ending):
        return ""
    hint = f"; {HINTS[ending]}" if ending in HINTS else ""
    return f"the ending of '{path.name}' is none of {', '.join(KINDS)}{hint}"


def renamed(
    names: Sequence[str], columns: Columns, fail: Callable[[str, str], EmomtlError]
) -> list[str]:
    """A file's columns after renaming (`columns`, theirs -> ours), in the file's order.

    Refused, with the error that `fail` makes: over 10,000 columns; a name twice; no name, but for
    the first column (pandas leaves its index unnamed) and the last (a separator may end each line);
    a column that `columns` names and the file lacks; two columns that would get one name.
    """
    if len(names) > MOST_COLUMNS:
        remedy = f"at most {MOST_COLUMNS} are read; is the delimiter right?"
        raise fail(f"{len(names)} columns", remedy)
    if double := _double(names):
        found = f"two columns are called '{clean(double)}'"
        raise fail(found, "give each column a name of its own")
    for number, name in enumerate(names[1:-1], 2):
        if not name.strip():
            raise fail(f"column {number} has no name", "name each column in the header")
    if columns is None:
        return list(names)
    if not isinstance(columns, Mapping):
        remedy = "a list of columns is for files without header; give a mapping"
        raise fail("the columns have names of their own", remedy)
    missing = [name for name in columns if name not in names]
    if missing:
        shown = ", ".join(f"'{clean(name)}'" for name in missing)
        raise fail(f"no column {shown}", suggest(missing[0], [clean(name, 40) for name in names]))
    ours = [columns.get(name, name) for name in names]
    if double := _double(ours):
        theirs = [name for name, our in zip(names, ours, strict=True) if our == double]
        shown = " and ".join(f"'{clean(name)}'" for name in theirs)
        found = f"the columns {shown} would both be called '{clean(double)}'"
        raise fail(found, "rename the other one, too")
    return ours


def _double(names: Sequence[str]) -> str:
    """The first name that occurs twice; empty where none does."""
    return next((name for name, count in Counter(names).items() if count > 1), "")

"""Which delimiter a file seems to have where the given one does not fit. It is said, never used."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence

from emomtl.data.source_file import HIDDEN, SourceFile
from emomtl.errors import clean

NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
"""The delimiters that people use, as messages say them."""

LONGEST_HEADER = 10_000
"""Characters of a line that is cut at other delimiters."""

MOST_SHOWN = 8


def delimiter_name(delimiter: str) -> str:
    """A delimiter as messages say it."""
    return NAMES.get(delimiter, repr(delimiter))


def as_key(delimiter: str) -> str:
    """What to write into a manifest or a layout."""
    return '`delimiter = "\\t"`' if delimiter == "\t" else f'`delimiter = "{delimiter}"`'


def check_header(file: SourceFile, cells: Sequence[str], line: int) -> None:
    """Refuse a header that another delimiter cuts better.

    That is into the wanted columns, or into several where ours finds one.
    """
    if cells[0].lower().startswith("sep=") and len(cells) <= 2:
        key = as_key(cells[0][4:5] or file.delimiter)
        found = "the first line tells Excel the delimiter and names no columns"
        raise file.error(found, f"delete that line, and give {key}", line)
    wanted = _wanted(file)
    other = other_delimiter(cells, file, wanted=wanted)
    if other is None:
        return
    counted = f"{len(cells)} column" + ("s" if len(cells) != 1 else "")
    better = _cut(cells, file.delimiter, other)
    found = f"cut at {delimiter_name(file.delimiter)} the header has {counted}, "
    found += f"at {delimiter_name(other)} {len(better)}"
    remedy = as_key(other)
    if file.layout.sensitive:
        remedy += f"; {HIDDEN}"
    else:
        shown = ", ".join(f"'{clean(name, 30)}'" for name in better[:MOST_SHOWN])
        found += f": {shown}" + (", ..." if len(better) > MOST_SHOWN else "")
    if len(cells) == 1 and not wanted:
        remedy += f", or {as_key(file.delimiter)} where it is one column"
    raise file.error(found, remedy, line)


def other_delimiter(
    cells: Sequence[str], file: SourceFile, width: int | None = None, wanted: Collection[str] = ()
) -> str | None:
    """Another usual delimiter that cuts a line into `width` cells, or into all `wanted` columns.

    Where neither is asked for: into most cells, where ours cuts nothing and the layout names none.
    """
    if sum(map(len, cells)) > LONGEST_HEADER:
        return None
    cuts = {other: _cut(cells, file.delimiter, other) for other in NAMES if other != file.delimiter}
    if width is not None:
        return next((other for other, cut in cuts.items() if len(cut) == width > 1), None)
    if wanted:
        if set(wanted) <= set(cells):
            return None
        for other, cut in cuts.items():
            if set(wanted) <= set(cut):
                return other
    if len(cells) == 1 and file.layout.delimiter is None:
        most = max(cuts, key=lambda other: len(cuts[other]))
        return most if len(cuts[most]) > 1 else None
    return None


def _cut(cells: Sequence[str], delimiter: str, other: str) -> list[str]:
    """A line that was cut at one delimiter, cut at another."""
    try:
        return next(csv.reader([delimiter.join(cells)], delimiter=other), [])
    except csv.Error:
        return []


def _wanted(file: SourceFile) -> set[str]:
    """The columns that the header must have."""
    columns, split_column = file.layout.columns, file.layout.split_column
    wanted = set(columns) if isinstance(columns, Mapping) else set()
    if split_column:
        wanted.add(split_column)
    return wanted

"""CSV and TSV, read strictly and as a stream: every cell stays the text it is, and every error names its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from emomtl.data.lines import Position, lines
from emomtl.data.source_file import LONGEST, MOST_CELLS, SourceFile
from emomtl.errors import EmomtlError, clean


def rows(file: SourceFile) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the line on which it starts; blank lines are passed over."""
    records = _records(file)
    names = _names(file, records)
    width = len(names)
    for line, cells in records:
        if len(cells) != width:
            raise _ragged(file, line, len(cells), width)
        yield line, dict(zip(names, cells, strict=True))


def names(file: SourceFile) -> list[str]:
    """The columns' names, from the header or the layout."""
    return _names(file, _records(file))


def _names(file: SourceFile, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    columns = file.layout.columns
    if not file.layout.header and isinstance(columns, Sequence):
        return list(columns)
    line, cells = next(records, (0, []))
    if not cells:
        raise file.error("the file has no header, only blank lines", "let the first line name the columns")
    return file.names(cells, line)


def _records(file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    at = Position()
    # The limit is the process's; ours is the bound on a whole row in `lines`, so the csv module must not stop before it.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST + 1))
    options: dict[str, Any] = {"quoting": csv.QUOTE_NONE, "quotechar": None} if file.layout.quoting == "none" else {}
    reader = csv.reader(_narrow(file, at), delimiter=file.delimiter, strict=True, **options)
    while True:
        at.next_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(file, at, error) from error
        if cells:
            yield at.start, cells


def _narrow(file: SourceFile, at: Position) -> Iterator[str]:
    """The lines; a row with a million delimiters is refused before it is cut at them."""
    start = cells = 0
    for text in lines(file, "", at):
        if at.start != start:
            start, cells = at.start, 0
        cells += text.count(file.delimiter)
        if cells > MOST_CELLS:
            found = f"this row has more than {MOST_CELLS:,} delimiters"
            raise file.error(found, "is the delimiter right, or a quote opened and never closed?", at.start)
        yield text


def _broken(file: SourceFile, at: Position, error: csv.Error) -> EmomtlError:
    if "unexpected end" in str(error):
        return file.error("a quote is opened in this row and never closed", 'write a quote inside a cell as ""', at.start)
    if "expected after" in str(error):
        found = f"a closing quote is followed by text (on line {at.line})" if at.line > at.start else "text after a closing quote"
        return file.error(found, 'write a quote inside a cell as ""', at.start)
    return file.error(clean(str(error)), line=at.start)


def _ragged(file: SourceFile, line: int, cells: int, width: int) -> EmomtlError:
    named = "header" if file.layout.header else "layout"
    shown = {"\t": "a tab", ",": "a comma"}.get(file.delimiter, repr(file.delimiter))
    quotes = file.layout.quoting == "csv"
    remedy = f"a cell with {shown} in it needs quotes" if quotes else f"a cell cannot hold {shown} or a line break"
    counted = f"{cells} cell" + ("s" if cells != 1 else "")
    return file.error(f"{counted}, but the {named} has {width} columns", remedy, line)

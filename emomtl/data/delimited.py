"""CSV and TSV, read strictly and as a stream: every cell stays the text it is, and every error names its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from emomtl.data.delimiter import as_key, check_header, other_delimiter, said_delimiter
from emomtl.data.lines import Position, lines
from emomtl.data.source_file import LONGEST, MANY_LINES, MOST_CELLS, STRICT, Heard, SourceFile
from emomtl.errors import EmomtlError, clean


def rows(file: SourceFile, heard: Heard = STRICT) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the line on which it starts; blank lines are passed over, and rows that are cut wrong are `heard`."""
    at = Position()
    records = _records(file, at)
    names = _names(file, records)
    width = len(names)
    last_unnamed = file.layout.header and width > 1 and not names[-1].strip()
    kept = [number for number, name in enumerate(names) if name or (number == 0 and file.layout.header)]
    plain = len(kept) == width and not last_unnamed
    unsaid, quotes_are_text = file.layout.quoting is None, file.layout.quoting == "none"
    seen = file.layout.header
    for line, cells in records:
        if not seen:
            _check_no_header(file, names, cells, line)
            seen = True
        if at.line > line and unsaid:
            if at.line - line >= MANY_LINES:
                heard.many_lines(line, at.line - line + 1)
            _check_swallowed(file, cells, width, line)
        if len(cells) != width:
            heard.bad(line, partial(_ragged, file, line, cells, width))
            continue
        if last_unnamed and cells[-1].strip():
            found = f"column {width} has no name and holds something"
            heard.bad(line, partial(file.error, found, "name it in the header", line=line))
            continue
        if quotes_are_text and any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells):
            heard.wrapped(line)
        if plain:
            yield line, dict(zip(names, cells, strict=True))
        else:
            yield line, {names[number]: cells[number] for number in kept if not (last_unnamed and number == width - 1)}


def names(file: SourceFile) -> list[str]:
    """The columns' names, from the header or the layout."""
    return _names(file, _records(file, Position()))


def first_row(file: SourceFile) -> list[str]:
    """The cells of the first row that is not blank, whatever they are; none where there is no such row."""
    return next(_records(file, Position()), (0, []))[1]


def _names(file: SourceFile, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    columns = file.layout.columns
    if not file.layout.header and isinstance(columns, Sequence):
        return list(columns)
    line, cells = next(records, (0, []))
    if not cells:
        raise file.error("the file has no header, only blank lines", "let the first line name the columns")
    check_header(file, cells, line)
    return file.names(cells, line)


def _records(file: SourceFile, at: Position) -> Iterator[tuple[int, list[str]]]:
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


QUOTES = 'write a quote inside a cell as "", or give `quoting = "none"` where quotes are plain characters'


def _broken(file: SourceFile, at: Position, error: csv.Error) -> EmomtlError:
    if "unexpected end" in str(error):
        return file.error("a quote is opened in this row and never closed", QUOTES, at.start)
    if "expected after" in str(error):
        found = f"a closing quote is followed by text (on line {at.line})" if at.line > at.start else "text after a closing quote"
        return file.error(found, QUOTES, at.start)
    return file.error(clean(str(error)), line=at.start)


def _check_no_header(file: SourceFile, names: Sequence[str], cells: Sequence[str], line: int) -> None:
    """Refuse a first row that holds the names of the columns where the layout says that there is no header."""
    pairs = zip(names, cells, strict=False)
    if all(cell.strip().lower() == name.lower() for name, cell in pairs if name):
        found = "the first row holds the names of the columns, and the layout says that there is no header"
        raise file.error(found, "leave `header = false` and `columns` out", line)


def _check_swallowed(file: SourceFile, cells: Sequence[str], width: int, line: int) -> None:
    """Refuse a quoted cell that holds whole rows: an opening quote that belongs to the text swallows them up to the next one.

    Rows were swallowed where the cell's pieces are cut as rows are: cell number j (from 0) of `width` begins with the rest of
    its own row (width - 1 - j delimiters), goes on with whole rows (width - 1 each) and ends with the beginning of another
    (j). A tab inside a text is rare, so two pieces tell. A comma is not: of 14,571 posts two have four such pieces and none
    has five, so it takes eight.
    """
    if width < 2:
        return
    fewest = 2 if file.delimiter == "\t" else 8
    for number, cell in enumerate(cells[:width]):
        pieces = [piece for piece in cell.splitlines() if piece.strip()]
        if len(pieces) < fewest:
            continue
        counts = [piece.count(file.delimiter) for piece in pieces]
        whole = counts[1:-1]
        if counts[0] == width - 1 - number and counts[-1] == number and all(count == width - 1 for count in whole):
            found = f"a quoted cell of this row runs over {len(pieces)} lines, and they are cut like rows of {width} cells"
            remedy = 'an opened quote? `quoting = "none"` reads quotes as plain characters, "csv" takes the cell as one text'
            raise file.error(found, remedy, line)


def _ragged(file: SourceFile, line: int, cells: Sequence[str], width: int) -> EmomtlError:
    named = "header" if file.layout.header else "layout"
    shown = said_delimiter(file.delimiter)
    quotes = file.layout.quoting != "none"
    remedy = f"a cell with {shown} in it needs quotes" if quotes else f"a cell cannot hold {shown} or a line break"
    counted = f"{len(cells)} cell" + ("s" if len(cells) != 1 else "")
    other = other_delimiter(cells, file, width=width)
    if other is not None:
        remedy = f"cut at {said_delimiter(other)} it has {width}: {as_key(other)}"
    elif len(cells) == width + 1 and not cells[-1].strip():
        remedy = f"{shown} ends the row: end the header so, too" if file.layout.header else '`columns` ends in "" for it'
    return file.error(f"{counted}, but the {named} has {width} columns", remedy, line)

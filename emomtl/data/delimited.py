"""CSV and TSV, read strictly and as a stream; a cell stays the text it is."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from emomtl.data.delimiter import as_key, check_header, delimiter_name, other_delimiter
from emomtl.data.lines import Position, lines
from emomtl.data.source_file import LONGEST, MANY_LINES, MOST_CELLS, RawRow, SourceFile
from emomtl.errors import EmomtlError, clean

QUOTES = 'write a quote inside a cell as "", or give `quoting = "none"` where quotes are plain text'


def rows(file: SourceFile) -> Iterator[RawRow]:
    """Each row with the line on which it starts. Blank lines are passed over.

    A row with too few or too many cells is a bad row.
    """
    position = Position()
    records = _records(file, position)
    names = _names(file, records)
    width = len(names)
    header, quoting = file.layout.header, file.layout.quoting
    # A separator that ends each line makes a last column without a name, which must be empty.
    last_unnamed = header and width > 1 and not names[-1].strip()
    # Without a name are also the index that pandas writes first, which is kept, and in a list of
    # `columns` those that the layout leaves out.
    kept = [place for place, name in enumerate(names) if name or (place == 0 and header)]
    if last_unnamed:
        kept = [place for place in kept if place != width - 1]
    is_first = True
    for line, cells in records:
        if is_first and not header:
            _check_no_header(file, names, cells, line)
        is_first = False
        many_lines = 0
        if position.line > line and quoting is None:
            if position.line - line >= MANY_LINES:
                many_lines = position.line - line + 1
            _check_swallowed_rows(file, cells, width, line)
        if len(cells) != width:
            yield RawRow(line, {}, partial(_wrong_width, file, line, cells, width))
            continue
        if last_unnamed and cells[-1].strip():
            found = f"column {width} has no name and holds something"
            yield RawRow(line, {}, partial(file.error, found, "name it in the header", line=line))
            continue
        if len(kept) == width:
            values = dict(zip(names, cells, strict=True))
        else:
            values = {names[place]: cells[place] for place in kept}
        has_quotes = quoting == "none" and any(map(_is_quoted, cells))
        yield RawRow(line, values, None, many_lines, has_quotes)


def names(file: SourceFile) -> list[str]:
    """The columns' names, from the header or the layout."""
    return _names(file, _records(file, Position()))


def first_row(file: SourceFile) -> list[str]:
    """The cells of the first row that is not blank; none where there is no such row."""
    return next(_records(file, Position()), (0, []))[1]


def _names(file: SourceFile, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    columns = file.layout.columns
    if not file.layout.header and isinstance(columns, Sequence):
        return list(columns)
    line, cells = next(records, (0, []))
    if not cells:
        found = "the file has no header, only blank lines"
        raise file.error(found, "let the first line name the columns")
    check_header(file, cells, line)
    return file.names(cells, line)


def _records(file: SourceFile, position: Position) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, with the line on which it starts."""
    # The csv module's limit on a cell holds for the whole process. Ours, on a row, is in `lines`;
    # so the module's must not stop before it.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST + 1))
    options: dict[str, Any] = {}
    if file.layout.quoting == "none":
        options = {"quoting": csv.QUOTE_NONE, "quotechar": None}
    reader = csv.reader(
        _lines_of_few_cells(file, position), delimiter=file.delimiter, strict=True, **options
    )
    while True:
        position.next_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(file, position, error) from error
        if cells:
            yield position.start, cells


def _lines_of_few_cells(file: SourceFile, position: Position) -> Iterator[str]:
    """The lines; a row with over a million delimiters is refused before it is cut at them."""
    start = cells = 0
    for text in lines(file, "", position):
        if position.start != start:
            start, cells = position.start, 0
        cells += text.count(file.delimiter)
        if cells > MOST_CELLS:
            found = f"this row has more than {MOST_CELLS:,} delimiters"
            remedy = "is the delimiter right, or a quote opened and never closed?"
            raise file.error(found, remedy, position.start)
        yield text


def _broken(file: SourceFile, position: Position, error: csv.Error) -> EmomtlError:
    """The error for what the csv module refuses, which says so in English only."""
    line = position.start
    if "unexpected end" in str(error):
        return file.error("a quote is opened in this row and never closed", QUOTES, line)
    if "expected after" in str(error):
        found = "text after a closing quote"
        if position.line > line:
            found = f"a closing quote is followed by text (on line {position.line})"
        return file.error(found, QUOTES, line)
    return file.error(clean(str(error)), line=line)


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _check_no_header(
    file: SourceFile, names: Sequence[str], cells: Sequence[str], line: int
) -> None:
    """Refuse a first row that holds the columns' names where the layout says there is no header."""
    pairs = zip(names, cells, strict=False)
    if all(cell.strip().lower() == name.lower() for name, cell in pairs if name):
        found = "the first row holds the names of the columns, "
        found += "and the layout says that there is no header"
        raise file.error(found, "leave `header = false` and `columns` out", line)


def _check_swallowed_rows(file: SourceFile, cells: Sequence[str], width: int, line: int) -> None:
    """Refuse a quoted cell that holds whole rows.

    A quote that belongs to the text, and opens a cell, swallows all rows up to the next quote. It
    did where the lines of the cell are cut as rows are: in cell number j (from 0) of `width`, the
    first line is the rest of the cell's own row (width - 1 - j delimiters), the next are whole rows
    (width - 1 delimiters each), and the last is the beginning of another row (j delimiters).

    A tab inside a text is rare, so two such lines tell. A comma is not: of 14,571 posts two have
    four such lines and none has five, so it takes eight.
    """
    if width < 2:
        return
    fewest = 2 if file.delimiter == "\t" else 8
    for number, cell in enumerate(cells[:width]):
        cell_lines = [text for text in cell.splitlines() if text.strip()]
        if len(cell_lines) < fewest:
            continue
        first, *middle, last = (text.count(file.delimiter) for text in cell_lines)
        full = width - 1
        if first == full - number and last == number and all(count == full for count in middle):
            found = f"a quoted cell of this row runs over {len(cell_lines)} lines, "
            found += f"and they are cut like rows of {width} cells"
            remedy = 'an opened quote? `quoting = "none"` reads quotes as plain characters, '
            remedy += '"csv" takes the cell as one text'
            raise file.error(found, remedy, line)


def _wrong_width(file: SourceFile, line: int, cells: Sequence[str], width: int) -> EmomtlError:
    """The error for a row with too few or too many cells."""
    shown = delimiter_name(file.delimiter)
    other = other_delimiter(cells, file, width=width)
    if other is not None:
        remedy = f"cut at {delimiter_name(other)} it has {width}: {as_key(other)}"
    elif len(cells) == width + 1 and not cells[-1].strip():
        remedy = '`columns` ends in "" for it'
        if file.layout.header:
            remedy = f"{shown} ends the row: end the header so, too"
    elif file.layout.quoting == "none":
        remedy = f"a cell cannot hold {shown} or a line break"
    else:
        remedy = f"a cell with {shown} in it needs quotes"
    counted = f"{len(cells)} cell" + ("s" if len(cells) != 1 else "")
    where = "header" if file.layout.header else "layout"
    return file.error(f"{counted}, but the {where} has {width} columns", remedy, line)

"""The page of a report: a summary in one sentence, then sections with tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.cells import numeric_columns, plain, spelt
from emomtl.report.html_page.shell import rendered

if TYPE_CHECKING:
    from markupsafe import Markup

FOLDER = Path(__file__).parent
FILTERED = 8
"""Rows from which on a table has a field to filter it."""

MOST_ROWS = 1_000
"""Rows of a table that a page shows: nobody reads more, and browsers are slow with them."""

LARGEST = 5_000_000
"""Bytes that a page has at most, as long as leaving pictures out helps."""

LEFT_OUT = (
    '<p class="about">Left out, as the page would be larger than 5 MB: '
    "--figures FOLDER draws it.</p>"
)


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading: words, tables and pictures (caption and markup).

    A `closed` section is shown when its heading is clicked.
    """

    title: str
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, Markup]] = ()
    about: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Shown:
    """A table as the template draws it: cells as (text, number to sort by or "")."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    notes: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def filtered(self) -> bool:
        """Whether the table has a field to filter it."""
        return len(self.rows) >= FILTERED


def page(
    title: str, summary: str, sections: Sequence[Section], warnings: Sequence[str], version: str
) -> str:
    """The whole page as text; it opens from disk and loads nothing.

    It holds no text of a corpus that is not given to it. Where it would be larger than `LARGEST`,
    a line stands in the place of the largest pictures.
    """
    context = {
        "title": plain(title),
        "summary": plain(summary),
        "warnings": list(map(plain, warnings)),
        "version": version,
    }
    text = _rendered(context, sections)
    excess = len(text.encode()) - LARGEST
    if excess > 0:
        text = _rendered(context, _without_largest_pictures(sections, excess))
    return text


def _rendered(context: Mapping[str, Any], sections: Sequence[Section]) -> str:
    shown = [(section, list(map(_shown, section.tables))) for section in sections]
    template, script = FOLDER / "page.html.jinja", FOLDER / "tables.js"
    return rendered(template, {**context, "sections": shown}, script=script)


def _without_largest_pictures(sections: Sequence[Section], excess: int) -> list[Section]:
    """The sections without the largest pictures: `excess` bytes less, or all pictures less."""
    from markupsafe import Markup

    pictures = [list(section.pictures) for section in sections]
    sizes: list[tuple[int, int, int]] = []
    for number, of_section in enumerate(pictures):
        for place, (_, svg) in enumerate(of_section):
            sizes.append((len(svg), number, place))
    for size, number, place in sorted(sizes, reverse=True):
        if excess <= 0:
            break
        caption, _ = pictures[number][place]
        pictures[number][place] = (caption, Markup(LEFT_OUT))
        excess -= size - len(LEFT_OUT)
    lighter = []
    for section, of_section in zip(sections, pictures, strict=True):
        lighter.append(replace(section, pictures=of_section))
    return lighter


def _shown(table: Table) -> Shown:
    left_out = len(table.rows) - MOST_ROWS
    notes = list(map(plain, table.notes))
    if left_out > 0:
        notes.insert(0, f"{left_out:,} more rows are left out of this page alone")
    rows = []
    for row in table.rows[:MOST_ROWS]:
        rows.append(tuple(map(_cell, row, table.columns)))
    return Shown(
        title=plain(table.title),
        columns=tuple(map(plain, table.columns)),
        numeric=tuple(numeric_columns(table)),
        rows=tuple(rows),
        notes=tuple(notes),
        texts=tuple(map(plain, table.texts[:MOST_ROWS])),
    )


def _cell(cell: Cell, column: str) -> tuple[str, str]:
    """A cell as text, and the number to sort it by."""
    number = ""
    if isinstance(cell, (int, float)):
        number = repr(cell)
    return spelt(cell, column), number

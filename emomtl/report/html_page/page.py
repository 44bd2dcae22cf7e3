"""The page of a report: a summary in one sentence, then sections with tables that sort and filter, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.cells import plain, spelt
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

LEFT_OUT = '<p class="about">Left out, as the page would be larger than 5 MB: --figures FOLDER draws it.</p>'


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading: words, tables and pictures (title and markup); `closed` behind a click."""

    title: str
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, Markup]] = ()
    about: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Shown:
    """A table as the template draws it: cells as (text, number to sort by or None)."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    notes: tuple[str, ...]
    filtered: bool = field(default=False)
    texts: tuple[str, ...] = ()


def page(title: str, summary: str, sections: Sequence[Section], warnings: Sequence[str], version: str) -> str:
    """The whole page as text; it opens from disk, loads nothing, and holds no text of a corpus that is not given to it.

    Where it would be larger than `LARGEST`, the largest pictures give their place to a line that says so.
    """
    made = _rendered(title, summary, sections, warnings, version)
    over = len(made.encode()) - LARGEST
    return made if over <= 0 else _rendered(title, summary, _lighter(sections, over), warnings, version)


def _lighter(sections: Sequence[Section], over: int) -> list[Section]:
    """The sections without the largest pictures: `over` bytes less, or all pictures less."""
    from markupsafe import Markup

    sizes = {(s, p): len(svg) for s, section in enumerate(sections) for p, (_, svg) in enumerate(section.pictures)}
    left_out = set()
    for place, size in sorted(sizes.items(), key=lambda entry: -entry[1]):
        if over <= 0:
            break
        left_out.add(place)
        over -= size - len(LEFT_OUT)
    return [
        replace(
            section,
            pictures=[
                (caption, Markup(LEFT_OUT) if (s, p) in left_out else svg) for p, (caption, svg) in enumerate(section.pictures)
            ],
        )
        for s, section in enumerate(sections)
    ]


def _rendered(title: str, summary: str, sections: Sequence[Section], warnings: Sequence[str], version: str) -> str:
    shown = [(section, [_shown(table) for table in section.tables]) for section in sections]
    context = {"title": plain(title), "summary": plain(summary), "warnings": [plain(one) for one in warnings], "version": version}
    return rendered(FOLDER / "page.html.jinja", {**context, "sections": shown}, script=FOLDER / "tables.js")


def _shown(table: Table) -> Shown:
    numeric = tuple(table.numeric(place) for place in range(len(table.columns)))
    shown = table.rows[:MOST_ROWS]
    rows = tuple(tuple(_cell(cell, name) for cell, name in zip(row, table.columns, strict=True)) for row in shown)
    left_out = len(table.rows) - len(shown)
    more = (f"{left_out:,} more rows are left out of this page alone",) if left_out else ()
    notes = tuple(plain(note) for note in (*more, *table.notes))
    texts = tuple(plain(text) for text in table.texts[:MOST_ROWS])
    return Shown(plain(table.title), tuple(map(plain, table.columns)), numeric, rows, notes, len(rows) >= FILTERED, texts)


def _cell(cell: Cell, column: str) -> tuple[str, str]:
    return spelt(cell, column), repr(cell) if isinstance(cell, (int, float)) else ""

"""Tables drawn in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emomtl.report.cells import Table, plain, spelt

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Drawn

GAP = 3
"""Columns of the terminal between two columns of a table."""


def show(tables: Sequence[Table], console: Console) -> None:
    """Print tables with their notes. Texts are never read as markup, and control characters in them are escaped.

    A table that is wider than the terminal and has fewer rows than columns is turned: a line a column.
    """
    from rich.padding import Padding
    from rich.text import Text

    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(Text(plain(table.title), style="bold"))
        wide = _width(table) > console.width and len(table.rows) < len(table.columns)
        console.print(_turned(table) if wide else _upright(table))
        for note in table.notes:
            console.print(Padding(Text(plain(note), style="dim"), (0, 0, 0, 2), expand=False))


def _width(table: Table) -> int:
    """How many columns of the terminal the table would take."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(text) for text in [plain(name), *(spelt(row[i], name) for row in table.rows)])
        for i, name in enumerate(table.columns)
    ]
    return sum(widths) + GAP * len(widths)


def _upright(table: Table) -> Drawn:
    """A line a row."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(table.columns):
        drawn.add_column(Text(plain(name)), justify="right" if table.numeric(i) else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(spelt(cell, name)) for name, cell in zip(table.columns, row, strict=True)))
    return drawn


def _turned(table: Table) -> Drawn:
    """A line a column, and a column a row."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE, pad_edge=False, show_header=False)
    drawn.add_column(overflow="fold", style="bold")
    for _ in table.rows:
        drawn.add_column(justify="left" if len(table.rows) == 1 else "right", overflow="fold")
    for i, name in enumerate(table.columns):
        drawn.add_row(Text(plain(name)), *(Text(spelt(row[i], name)) for row in table.rows))
    return drawn

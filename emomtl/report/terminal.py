"""Tables drawn in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Table
from emomtl.report.cells import plain, spelt
from emomtl.report.fitted import FittedTable

if TYPE_CHECKING:
    from rich.console import Console


def show(tables: Sequence[Table], console: Console) -> None:
    """Print tables with their notes. Texts are never read as markup, and control characters in them are escaped.

    A table that is wider than the terminal is turned, or becomes a block of lines a row.
    """
    from rich.padding import Padding
    from rich.text import Text

    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(Text(plain(table.title), style="bold"))
        rows = [[spelt(cell, name) for name, cell in zip(table.columns, row, strict=True)] for row in table.rows]
        numeric = [table.numeric(place) for place in range(len(table.columns))]
        console.print(FittedTable("", [plain(name) for name in table.columns], rows, numeric, boxed=False))
        for note in table.notes:
            console.print(Padding(Text(plain(note), style="dim"), (0, 0, 0, 2), expand=False))

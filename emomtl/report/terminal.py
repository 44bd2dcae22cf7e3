"""Tables drawn in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Table
from emomtl.report.cells import cells_as_text, numeric_columns, plain
from emomtl.report.fitted import FittedTable

if TYPE_CHECKING:
    from rich.console import Console


def show(tables: Sequence[Table], console: Console) -> None:
    """Print tables with their notes; no text is read as markup or holds control characters.

    A table that is wider than the terminal is turned, or becomes a block of lines a row.
    """
    from rich.padding import Padding
    from rich.text import Text

    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(Text(plain(table.title), style="bold"))
        columns = list(map(plain, table.columns))
        rows, numeric = cells_as_text(table), numeric_columns(table)
        console.print(FittedTable("", columns, rows, numeric, boxed=False))
        for note in table.notes:
            indented = Padding(Text(plain(note), style="dim"), (0, 0, 0, 2), expand=False)
            console.print(indented)

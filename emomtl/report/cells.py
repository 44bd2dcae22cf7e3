"""A table, and how its cells are spelt for people."""

from __future__ import annotations

from dataclasses import dataclass

from emomtl.errors import clean

Cell = str | int | float | None
LONGEST = 2_000


class WarningNote(str):
    """A note of a table that warns; a page shows all of them above its tables too.

    As text it begins with `warning:`, and `about` is the rest of it.
    """

    about: str

    def __new__(cls, about: str) -> WarningNote:
        """The note with these words."""
        note = super().__new__(cls, f"warning: {about}")
        note.about = about
        return note


@dataclass(frozen=True)
class Table:
    """Rows under named columns; a cell of None is a figure that is undefined. `notes` are what a reader must know beside it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers (and undefined ones), so that it is set flush right."""
        cells = [row[column] for row in self.rows]
        return any(isinstance(cell, (int, float)) for cell in cells) and not all(isinstance(cell, str) for cell in cells)


def plain(text: str) -> str:
    """Text on one line with control characters (and others that cannot be seen) escaped."""
    return clean(text, LONGEST)


def spelt(cell: Cell, column: str = "") -> str:
    """A cell as people read it: 4 decimals, a sign for a difference, `undefined` and never 0 for None."""
    if cell is None:
        return "undefined"
    if isinstance(cell, str):
        return plain(cell)
    if isinstance(cell, int):
        return str(cell)
    if cell and abs(cell) < 0.00005:
        return "<0.0001" if cell > 0 else ">-0.0001"
    return f"{cell:+.4f}" if column == "difference" else f"{cell:.4f}"

"""How the cells of a table are spelt for people."""

from __future__ import annotations

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import clean
from emomtl.metrics.bootstrap import BootstrapEstimate

LONGEST = 2_000
DIFFERENCE_COLUMNS = ("difference", "its low", "its high")


def plain(text: str) -> str:
    """Text on one line with control characters (and others that cannot be seen) escaped."""
    return clean(text, LONGEST)


def spelt(cell: Cell, column: str = "") -> str:
    """A cell as people read it: 4 decimals, a sign for a difference, `undefined` and never 0 for
    None.
    """
    if cell is None:
        return "undefined"
    if isinstance(cell, str):
        return plain(cell)
    if isinstance(cell, int):
        return str(cell)
    if cell and abs(cell) < 0.00005:
        return "<0.0001" if cell > 0 else ">-0.0001"
    return f"{cell:+.4f}" if column == "difference" else f"{cell:.4f}"


def cells_as_text(table: Table) -> list[list[str]]:
    """The rows of a table as people read them."""
    rows = []
    for row in table.rows:
        rows.append([spelt(cell, name) for cell, name in zip(row, table.columns, strict=True)])
    return rows


def numeric_columns(table: Table) -> list[bool]:
    """For each column whether it holds numbers, which stand flush right."""
    return [table.numeric(place) for place in range(len(table.columns))]


def estimate_cells(estimate: BootstrapEstimate) -> tuple[Cell, Cell, Cell]:
    """Value, low and high end of the interval."""
    low, high = estimate.interval or (None, None)
    return estimate.value, low, high


def difference_cells(difference: BootstrapEstimate | None) -> tuple[Cell, ...]:
    """The cells of `DIFFERENCE_COLUMNS`; empty for the first run, which is the reference."""
    return ("", "", "") if difference is None else estimate_cells(difference)

"""Tables as CSV for a spreadsheet; no cell is read as a formula there."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.cells import plain
from emomtl.safety.escaping import no_formula


def as_csv(tables: Sequence[Table]) -> str:
    """Every table under a line with its title, an empty line between two; numbers in full, undefined ones empty."""
    parts = []
    for table in tables:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([_cell(table.title)])
        writer.writerow([_cell(column) for column in table.columns])
        writer.writerows([_cell(cell) for cell in row] for row in table.rows)
        parts.append(text.getvalue())
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    """A cell; a text that a spreadsheet would compute gets a quote before it, numbers and signed numbers stay."""
    if cell is None:
        return ""
    if isinstance(cell, (int, float)):
        return repr(cell)
    return no_formula(plain(cell))

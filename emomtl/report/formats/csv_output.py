"""Tables as CSV for a spreadsheet; no cell is read as a formula there."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.cells import plain
from emomtl.report.formats.table_format import TableFormat
from emomtl.safety.escaping import no_formula


def as_csv(tables: Sequence[Table], figures: Mapping[str, str] = {}) -> str:
    """Each table under a line with its title, with an empty line between two tables.

    Numbers are written in full, undefined ones as an empty cell. CSV has no figures.
    """
    parts = []
    for table in tables:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for row in ((table.title,), table.columns, *table.rows):
            writer.writerow(map(_cell, row))
        parts.append(text.getvalue())
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    """A cell as text; a text that a spreadsheet would compute gets a quote before it."""
    if cell is None:
        return ""
    if isinstance(cell, (int, float)):
        return repr(cell)
    return no_formula(plain(cell))


FORMAT = TableFormat("csv", "csv", "Write the tables as CSV to this file.", as_csv)

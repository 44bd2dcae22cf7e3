"""Tables as LaTeX for a paper: booktabs, every text escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from emomtl.contracts.analysis import Table
from emomtl.report.cells import cells_as_text, numeric_columns, plain
from emomtl.report.formats.table_format import TableFormat

SPECIAL = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    '"': r"\textquotedbl{}",
    # after a line break these two would be read as its options
    "[": "{[}",
    "*": "{*}",
}
"""What LaTeX reads as something else, and how it is written."""

SPECIAL_CHARACTER = re.compile("|".join(map(re.escape, SPECIAL)))


def latex(tables: Sequence[Table], figures: Mapping[str, str] = {}) -> str:
    """A `table` environment for each table, with its notes; needs `\\usepackage{booktabs}`."""
    return "\n".join(map(_table, tables))


def escape(text: str) -> str:
    """Text that stands for itself in LaTeX."""
    return SPECIAL_CHARACTER.sub(lambda match: SPECIAL[match[0]], plain(text))


def _table(table: Table) -> str:
    alignment = "".join("r" if numeric else "l" for numeric in numeric_columns(table))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *map(_row, cells_as_text(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    for note in table.notes:
        lines.append(rf"\par\footnotesize {escape(note)}")
    return "\n".join([*lines, r"\end{table}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"


FORMAT = TableFormat("latex", "tex", "Write the tables as LaTeX (booktabs) to this file.", latex)

"""Tables as LaTeX for a paper: booktabs, every text escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from emomtl.contracts.analysis import Table
from emomtl.report.cells import plain, spelt

SPECIAL = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "*": "{*}",
}
"""What LaTeX reads as something else, and how it is written; `[` and `*` are taken for options of the line break before them."""

EVERY = re.compile("|".join(re.escape(char) for char in SPECIAL))


def latex(tables: Sequence[Table]) -> str:
    """One `table` environment for each table, with its notes below it; needs `\\usepackage{booktabs}`."""
    return "\n".join(_table(table) for table in tables)


def escape(text: str) -> str:
    """Text that stands for itself in LaTeX."""
    return EVERY.sub(lambda found: SPECIAL[found[0]], plain(text))


def _table(table: Table) -> str:
    columns = "".join("r" if table.numeric(i) else "l" for i in range(len(table.columns)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    lines.append(" & ".join(escape(column) for column in table.columns) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        cells = [escape(spelt(cell, name)) for name, cell in zip(table.columns, row, strict=True)]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])

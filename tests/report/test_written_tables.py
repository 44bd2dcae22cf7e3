"""Tables as LaTeX and CSV: every text stands for itself there, too."""

from __future__ import annotations

import csv
import io

from emomtl.contracts.analysis import Table
from emomtl.report.csv_output import as_csv
from emomtl.report.latex import latex

TABLE = Table("100% & more_", ("na#me", "value"), (("a_b $x$ \\cmd ~^", 0.5), ("0.41 ± 0.02", None)), ("a {note}",))


def test_nothing_in_a_text_is_latex() -> None:
    text = latex([TABLE])
    assert r"\caption{100\% \& more\_}" in text
    assert r"a\_b \$x\$ \textbackslash{}cmd \textasciitilde{}\textasciicircum{} & 0.5000 \\" in text
    assert r"0.41 $\pm$ 0.02 & undefined \\" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"\begin{tabular}{lr}" in text


def test_a_spreadsheet_computes_nothing_and_numbers_stay_whole() -> None:
    table = Table("t", ("name", "n"), (("=HYPERLINK(1)", 1 / 3), ("+0.0123", None), ("@x", 2)))
    rows = list(csv.reader(io.StringIO(as_csv([table]))))
    assert rows[2:] == [["'=HYPERLINK(1)", repr(1 / 3)], ["+0.0123", ""], ["'@x", "2"]]


def test_two_tables_are_apart() -> None:
    rows = list(csv.reader(io.StringIO(as_csv([TABLE, TABLE]))))
    assert rows.count([]) == 1
    assert len(rows) == 9

"""Tables as LaTeX and CSV: every text stands for itself there, too."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from emomtl.cli.report_files import Outputs, with_table_formats, write_outputs
from emomtl.contracts.analysis import Table
from emomtl.report import formats
from emomtl.report.formats.csv_output import as_csv
from emomtl.report.formats.latex import latex

TABLE = Table(
    "100% & more_",
    ("na#me", "value"),
    (("a_b $x$ \\cmd ~^", 0.5), ("0.41 ± 0.02", None)),
    ("a {note}",),
)


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


def test_a_format_is_one_module_with_its_own_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
from emomtl.report.formats import TableFormat

FORMAT = TableFormat("titles", "txt", "Write the titles.", lambda tables, figures: tables[0].title)
"""
    (tmp_path / "titles.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])

    def command(*, files: Mapping[str, Path]) -> None:
        write_outputs(Outputs(files), [TABLE], [])

    app = typer.Typer()
    app.command()(with_table_formats(command))
    assert CliRunner().invoke(app, ["--titles", str(tmp_path / "out.txt")]).exit_code == 0
    assert (tmp_path / "out.txt").read_text() == "100% & more_"
    monkeypatch.delitem(sys.modules, "emomtl.report.formats.titles")

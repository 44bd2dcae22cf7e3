"""Tables fit every terminal from 60 columns on: upright, turned, or a block a row, and no word or
number is cut inside.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from emomtl.cli.output import make_table
from emomtl.contracts.analysis import Table
from emomtl.report.terminal import show

METRICS = (
    "macro_f1",
    "micro_f1",
    "subset_accuracy",
    "macro_f1_at_0.3",
    "ekman/macro_f1",
    "sentiment/macro_f1",
)
SCORES = Table(
    "goemotions on validation (5,426 rows)",
    ("run", "checkpoint", "step", *METRICS),
    tuple(
        ("goemotions+sst2-pals", which, 2714, *(0.26891 + place / 7 for place in range(6)))
        for which in ("best", "last")
    ),
    (
        (
            "a note that is as long as notes are, and so has to be wrapped at its spaces and"
            " nowhere else"
        ),
    ),
)
NARROW = Table("few", ("a", "b"), (("one", 1), ("two", 2)))
LONG = Table(
    "many rows",
    ("task", "rows", *METRICS),
    tuple((f"task-{n}", 1_000 * n, *([0.5] * 6)) for n in range(30)),
)


def drawn(tables: Sequence[Table], width: int) -> str:
    out = io.StringIO()
    show(tables, Console(file=out, width=width, markup=False, emoji=False, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 72, 80, 81, 100, 120, 160, 200])
@pytest.mark.parametrize("table", [SCORES, NARROW, LONG], ids=["scores", "narrow", "long"])
def test_no_word_and_no_number_is_cut_at_any_width(table: Table, width: int) -> None:
    boxed = io.StringIO()
    rows = [list(row) for row in table.rows]
    screen = Console(file=boxed, width=width, markup=False, emoji=False, highlight=False)
    screen.print(make_table(table.title, table.columns, rows, "a caption"))
    for text in (drawn([table], width), boxed.getvalue()):
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
        words = set(re.split(r"[\s│┃]+", text))
        assert set(table.columns) <= words
        assert {str(row[0]) for row in table.rows} <= words
        assert "0.2689" in words or table is not SCORES
    assert "a caption" in boxed.getvalue()


def test_a_wide_table_of_few_rows_is_turned_and_one_of_many_becomes_blocks() -> None:
    assert re.search(r"macro_f1 +0\.2689 +0\.2689 *\n", drawn([SCORES], 80))
    assert re.search(r"task +task-0 *\n *rows +0 *\n *macro_f1 +0\.5000", drawn([LONG], 60))
    assert re.search(r"task-29 +29000 +0\.5000", drawn([LONG], 200))


def test_a_word_that_no_line_holds_is_folded_and_nothing_is_lost() -> None:
    path = "/a" * 60
    text = drawn([Table("paths", ("path", "size"), ((path, 3),))], 60)
    assert path in text.replace("\n", "").replace(" ", "")

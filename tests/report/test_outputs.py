"""Markdown, terminal, JSON and figures: pleasant to read, and nothing that a label is called can
break them.
"""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from emomtl.contracts.analysis import Table
from emomtl.errors import EmomtlError
from emomtl.manifest import TaskTable
from emomtl.report.cells import spelt
from emomtl.report.collect import RunResult, collect
from emomtl.report.figures import figures
from emomtl.report.formats.markdown import markdown
from emomtl.report.json_output import as_json
from emomtl.report.tables import tables
from emomtl.report.terminal import show

HOSTILE = (
    "a|b",
    "<script>alert(1)</script>",
    "\x1b[31mred\x07",
    "[/foo]",
    r"$\frac{1}$",
    "![x](http://x)",
    "two\nlines",
    "_a_ `b`",
)
Maker = Callable[..., Path]


def drawn(made: list[Table], width: int = 100) -> str:
    out = io.StringIO()
    show(made, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def hostile(make: Maker, scores: Any) -> RunResult:
    """A run whose labels, groupings, metrics and tasks are called what no one should be called."""

    def named(task: str, value: float | None) -> dict[str, Any]:
        found = scores(task, value)
        row = found["tables"][""][0]
        found["tables"] = {
            "": [{**row, "label": label} for label in HOSTILE],
            **{label: [row] for label in HOSTILE},
        }
        found["metrics"] |= {f"{label}/macro_f1": 0.5 for label in HOSTILE}
        found["undefined"] = [f"no row has {label}" for label in HOSTILE]
        return found

    (result,) = collect([make(scores=named)])
    text = json.dumps([result.steps, result.validations, result.evaluations])
    for task, label in (("goemotions", HOSTILE[4]), ("sst2", HOSTILE[2])):
        text = text.replace(json.dumps(task), json.dumps(label))
    steps, validations, evaluations = json.loads(text)
    manifest = result.manifest.model_copy(
        update={"tasks": {HOSTILE[4]: TaskTable(), HOSTILE[2]: TaskTable()}}
    )
    kept = {
        "steps": steps,
        "validations": validations,
        "evaluations": evaluations,
        "manifest": manifest,
    }
    return replace(result, name="_" + "".join(HOSTILE), **kept)


def test_hostile_labels_stay_text_in_markdown(hostile: RunResult) -> None:
    text = markdown(tables([hostile]), {hostile.name: "figures/a b).png"})
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "<script>" not in text
    assert "$" not in text
    assert "![x]" not in text
    assert "(figures/a%20b%29.png)" in text
    for block in text.split("## ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(cells_of(line)) for line in lines}) <= 1
        assert len({len(line) for line in lines}) <= 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a&#124;b" in text


def test_hostile_labels_stay_text_in_a_terminal(hostile: RunResult) -> None:
    text = drawn(tables([hostile]), width=400)
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert r"\x1b[31mred\x07" in text
    assert "[/foo]" in text
    assert "![x](http://x)" in text


def test_hostile_labels_come_back_whole_from_json(hostile: RunResult) -> None:
    made = tables([hostile])
    found = json.loads(json.dumps(as_json([hostile], made), allow_nan=False))
    labels = next(table for table in found["tables"] if table["title"].startswith("By label"))
    assert [row[0] for row in labels["rows"]] == list(HOSTILE)


def test_hostile_names_are_drawn_as_they_are(hostile: RunResult, tmp_path: Path) -> None:
    made = figures([hostile, replace(hostile, name=HOSTILE[4])], tmp_path / "figures")
    assert len(made) == 5
    for path in made.values():
        assert path.parent == tmp_path / "figures"
        assert path.read_bytes().startswith(b"\x89PNG")
        picture = path.with_suffix(".svg").read_text()
        ElementTree.fromstring(picture)
        # each drawn text stands beside its outlines as a comment, formulas would be parsed
        assert r"$\frac{1}$" in picture
        assert "<script>" not in picture
        assert "\x1b" not in picture


@given(st.text(max_size=60))
def test_any_text_is_one_cell_of_one_line(text: str) -> None:
    table = Table(text, ("label", text), (("x", text), (text, 1.0)), (text,))
    lines = markdown([table]).splitlines()
    body = [line for line in lines if line.startswith("|")]
    assert len(body) == 4
    assert {len(cells_of(line)) for line in body} == {2}
    assert len([line for line in lines if line.startswith("- ")]) == 1
    assert not [c for c in drawn([table], width=200) if not c.isprintable() and c != "\n"]


def test_markdown_is_aligned_with_a_heading_and_notes() -> None:
    table = Table(
        "On validation", ("run", "macro_f1"), (("a-long-name", 0.25), ("b", None)), ("a note",)
    )
    assert (
        markdown([table]) == "## On validation\n\n"
        "| run         |  macro_f1 |\n"
        "| ----------- | --------: |\n"
        "| a-long-name |    0.2500 |\n"
        "| b           | undefined |\n\n"
        "- a note\n"
    )


def test_figures_stand_below_the_tables(make: Maker) -> None:
    text = markdown(tables(collect([make()])), {"Learning curves of both": "both.png"})
    assert text.endswith("## Learning curves of both\n\n![Learning curves of both](both.png)\n")


@pytest.mark.parametrize(
    ("cell", "column", "text"),
    [
        *[
            (0.12345, "", "0.1235"),
            (0.0, "", "0.0000"),
            (None, "", "undefined"),
            (7, "", "7"),
            (1e-9, "", "<0.0001"),
        ],
        *[
            (0.25, "difference", "+0.2500"),
            (-0.25, "difference", "-0.2500"),
            (-1e-9, "difference", ">-0.0001"),
        ],
    ],
)
def test_numbers_have_four_decimals_and_none_is_rounded_to_zero(
    cell: float | None, column: str, text: str
) -> None:
    assert spelt(cell, column) == text


def test_json_has_every_number_in_full(make: Maker) -> None:
    results = collect([make(best=1 / 3)])
    found = json.loads(json.dumps(as_json(results, tables(results))))
    (run,) = found["runs"]
    best = next(entry for entry in run["evaluations"] if entry["which"] == "best")
    assert best["tasks"]["goemotions"]["macro_f1"] == 1 / 3
    assert best["rows"] == {"goemotions": 200, "sst2": 100}
    assert (run["finished"], run["ended"], run["steps"]) == (True, "finished", 100)


def test_a_table_wider_than_the_terminal_is_turned_and_loses_nothing(make: Maker) -> None:
    table = next(
        table for table in tables(collect([make()])) if table.title.startswith("goemotions on")
    )
    narrow, wide = drawn([table], width=60), drawn([table], width=300)
    for name in table.columns:
        assert name in narrow
        assert name in wide
    assert [line.split() for line in narrow.splitlines() if "ekman/macro_f1" in line] == [
        ["ekman/macro_f1", "0.5000", "0.5000"]
    ]


def test_weights_are_drawn_only_where_they_vary(make: Maker, tmp_path: Path) -> None:
    (result,) = collect([make()])
    assert list(figures([result], tmp_path / "a")) == [
        "Learning curves of both",
        "Realised sampling of both",
    ]
    varied = [{**event, "weights": {"sst2": event["step"] / 10}} for event in result.steps]
    assert "Weights of both" in figures([replace(result, steps=varied)], tmp_path / "b")


def test_figures_of_unfinished_and_empty_runs_show_what_there_is(
    make: Maker, tmp_path: Path
) -> None:
    results = collect([make("killed", finished=False), make("none", steps=0)])
    made = figures(results, tmp_path / "figures")
    assert list(made) == ["Learning curves of killed", "Realised sampling of killed"]


def test_the_same_run_gives_the_same_pictures(make: Maker, tmp_path: Path) -> None:
    results = collect([make()])
    one, other = (figures(results, tmp_path / name) for name in ("a", "b"))
    for caption, path in one.items():
        assert path.read_bytes() == other[caption].read_bytes()
        for ending in (".svg", ".pdf"):
            assert (
                path.with_suffix(ending).read_bytes()
                == other[caption].with_suffix(ending).read_bytes()
            )


def test_of_several_runs_each_common_task_has_its_course_in_one_panel(
    make: Maker, tmp_path: Path
) -> None:
    results = collect([make("alone", sizes={"goemotions": 4000}), make("both")])
    caption, path = next(iter(figures(results, tmp_path / "figures").items()))
    assert caption == "Scores over checkpoints, all runs: goemotions"
    told = re.findall(r'id="hover:([^"]*)"', path.with_suffix(".svg").read_text())
    assert "alone: macro_f1" in told
    assert "both: best checkpoint, step 50, 0.4000" in told
    assert "both: last checkpoint, step 100, 0.3000" in told


def test_figures_that_cannot_be_written_say_so(make: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmomtlError, match="cannot be written"):
        figures(collect([make()]), tmp_path / "file")

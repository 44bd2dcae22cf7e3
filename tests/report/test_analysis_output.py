"""The result of an analysis as JSON, as files and as a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from emomtl import Finding, Picture, Result, Table
from emomtl.report.analysis_output import as_part, result_as_json, result_page, write_result

HOSTILE = [
    "<script>alert(1)</script>",
    "</p></div><img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "{{ 7 * 7 }} {% for x in y %}",
    "</style><style>body{display:none}</style>",
    "a\u202eb\x00c\x1b[31m",
]


def result(text: str) -> Result:
    """A result that has this text everywhere."""
    examples = Table(text, ("rows",), ((text,),), (text,), (text,))
    return Result(
        text,
        [Table(text, ("label", text), ((text, 1.5),), (text,))],
        [Picture("a line", "line", _figure())],
        [Finding("error", "leak", text, text, text, examples)],
        text,
        [text],
    )


def _figure() -> Figure:
    figure = Figure()
    figure.add_subplot().scatter([0, 1], [0, 1], rasterized=True)
    return figure


class Tags(HTMLParser):
    """The start tags of a page with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_text_on_the_page(text: str) -> None:
    page = result_page(result(text))
    assert Tags(page).tags == Tags(result_page(result("plain"))).tags
    assert not set("\u202e\x00\x1b") & set(page)
    assert "<image" not in page


def test_texts_of_examples_are_in_the_page_alone(tmp_path: Path) -> None:
    examples = Table("leak", ("rows",), (("row 1",),), texts=("a private text",))
    found = Result("t", findings=[Finding("warning", "leak", "mood", "1 row", examples=examples)])
    assert "a private text" in result_page(found)
    paths = write_result(found, "t", tmp_path / "out")
    assert {path.name for path in paths} == {"t.json", "t.md", "t.csv"}
    assert all("private" not in path.read_text(encoding="utf-8") for path in paths)
    assert "row 1" in (tmp_path / "out" / "t.json").read_text(encoding="utf-8")


def test_own_data_is_the_json_and_pages_are_written(tmp_path: Path) -> None:
    found = Result("t", [Table("a", ("b",), ((1,),))], data={"b": 1}, pages={"more.html": "<p>"})
    assert result_as_json(found) == {"b": 1}
    write_result(found, "t", tmp_path)
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == {"b": 1}
    assert (tmp_path / "more.html").read_text(encoding="utf-8") == "<p>"
    assert "# t" in (tmp_path / "t.md").read_text(encoding="utf-8")


def test_many_tables_stand_aside_in_a_report() -> None:
    tables = [Table(str(n), ("a",), ((n,),)) for n in range(9)]
    assert [as_part(Result("t", tables[:n])).aside for n in (1, 9)] == [False, True]

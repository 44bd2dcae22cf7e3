"""The page: whatever stands in a row is text and nothing else, and the page asks nothing of anybody."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from emomtl.analyses.audit.findings import Finding, Report, Shown, Table
from emomtl.analyses.audit.page import page

HOSTILE = [
    "<script>alert(1)</script>",
    "</p></div><img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "{{ 7 * 7 }} {% for x in y %}",
    "</style><style>body{display:none}</style>",
    "javascript:alert(1)",
    "a\u202eb\x00c\x1b[31m",
    "&lt;b&gt;",
]


class Seen(HTMLParser):
    """What a page holds: its elements with their attributes, the text outside of the style sheet, and what is left open."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def report(text: str) -> Report:
    shown = Shown((f"train row {text}",), text, text)
    findings = [Finding("test-in-train", text, text, 1, [shown]), Finding("telling-words", "mood", "none", 0)]
    return Report(
        text, [Table(text, ["label", text], [[text, 1_234], ["b", 0.5]], text), Table("empty", ["a"], [])], findings, [text]
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    plain, hostile = Seen(page(report("plain"), "1.0")), Seen(page(report(text), "1.0"))
    assert hostile.open == []
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(attributes) for _, attributes in hostile.elements] == [set(attributes) for _, attributes in plain.elements]
    if text.isprintable():
        assert hostile.words.count(text) == plain.words.count("plain")
    assert not set("\u202e\x00\x1b") & set(hostile.words.replace(text, ""))


def test_the_page_runs_nothing_and_loads_nothing() -> None:
    text = page(report("plain"), "1.0")
    seen = Seen(text)
    tags = {tag for tag, _ in seen.elements}
    assert not tags & {"script", "iframe", "object", "embed", "img", "link", "form", "base", "a"}
    names = {name for _, attributes in seen.elements for name in attributes}
    assert not names & {"src", "href", "style", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert "://" not in text
    assert "url(" not in text
    policy = next(a["content"] for tag, a in seen.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_page_is_readable_on_a_phone_in_the_dark_and_on_paper() -> None:
    text = page(report("plain"), "1.0")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "color-scheme: light dark" in text
    assert "@media print" in text
    assert '<html lang="en">' in text
    assert all(a.get("scope") == "col" for tag, a in Seen(text).elements if tag == "th")


def test_texts_of_rows_stand_behind_a_click_and_empty_tables_are_left_out() -> None:
    text = page(report("plain"), "1.0")
    assert text.index("<details>") < text.index('<p class="text">plain</p>') < text.index("</details>")
    assert "empty" not in Seen(text).words
    assert "Nothing was found." in page(Report("fine"), "1.0")


def test_numbers_are_written_for_people() -> None:
    words: Any = Seen(page(report("plain"), "1.0")).words
    assert "1,234" in words
    assert "0.500" in words

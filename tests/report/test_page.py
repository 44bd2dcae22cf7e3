"""The page of a report is one file that loads nothing, escapes everything, and runs one script that
its policy names.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from emomtl.contracts.analysis import Table
from emomtl.report.html_page import Section, inline, page
from emomtl.report.html_page.page import FOLDER, LARGEST
from emomtl.run import Run

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def written(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from emomtl.cli import main

    out = tmp_path_factory.mktemp("page") / "out.html"
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(trained.folder), "--html", str(out)])
    assert stopped.value.code == 0
    return out


def test_the_page_names_no_address_and_only_its_own_style_and_script(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    elements = Elements(text)
    assert len(text) < 5_000_000
    for tag, attributes in elements.found:
        assert tag not in ("img", "link", "iframe", "object", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes), (
            tag,
            attributes,
        )
        for name in ("href", "src", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    policy = (
        next(
            attributes["content"]
            for tag, attributes in elements.found
            if "http-equiv" in attributes
        )
        or ""
    )
    assert policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        (code,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_script_is_small_and_holds_no_data() -> None:
    assert (FOLDER / "tables.js").stat().st_size < 10_000
    assert "{{" not in (FOLDER / "tables.js").read_text(encoding="utf-8")


def test_scores_curves_and_environment_are_in_the_page(written: Path) -> None:
    elements = Elements(written.read_text(encoding="utf-8"))
    for words in (
        "mood on validation",
        "topics on validation",
        "Learning curves",
        "Fingerprints of rows",
        "best checkpoints on",
    ):
        assert words in elements.words
    pictures = [attributes for tag, attributes in elements.found if tag == "svg"]
    assert pictures
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)
    assert "mood" in re.findall(r"<title>([^<]*)</title>", written.read_text(encoding="utf-8"))


def test_every_table_has_headings_that_a_keyboard_reaches(written: Path) -> None:
    elements = Elements(written.read_text(encoding="utf-8"))
    tables = sum(tag == "table" for tag, _ in elements.found)
    columns = sum(
        tag == "th" and attributes.get("scope") == "col" for tag, attributes in elements.found
    )
    assert tables > 3
    assert columns == sum(tag == "button" for tag, _ in elements.found)


def test_names_from_outside_stay_words() -> None:
    table = Table(HOSTILE, (HOSTILE, "n"), ((HOSTILE, 1.5), ("x", None)), (HOSTILE,))
    text = page(HOSTILE, HOSTILE, [Section(HOSTILE, [table])], [HOSTILE], "0")
    elements = Elements(text)
    assert sum(tag == "script" for tag, _ in elements.found) == 1
    assert not any(tag == "img" for tag, _ in elements.found)
    assert "49" not in elements.words
    assert "undefined" in elements.words
    assert ("td", {"class": "number", "data-n": "1.5"}) in elements.found


def test_a_picture_loses_its_styles_and_keeps_its_looks() -> None:
    path = '<g id="hover:a &amp; b"><path style="fill: none; stroke: #000"/></g>'
    made = inline(
        f'<?xml version="1.0"?><svg width="1"><style>*{{a:b}}</style><!-- c -->{path}</svg>',
        'a "title"',
    )
    begin = '<svg role="img" aria-label="a &quot;title&quot;" width="1">'
    assert made == begin + '<g><title>a &amp; b</title><path fill="none" stroke="#000"/></g></svg>'
    for script in ("<script>1</script>", "<g onload='1'/>", '<g onload="1"/>'):
        with pytest.raises(ValueError, match="script"):
            inline(f"<svg >{script}</svg>", "x")
    named = '<svg ><g id="hover:&lt;img src=x onerror=1&gt;"></g></svg>'
    assert "<g><title>&lt;img src=x onerror=1&gt;</title></g>" in inline(named, "x")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium on this machine")
def test_a_browser_renders_it_and_complains_of_nothing(written: Path, tmp_path: Path) -> None:
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--enable-logging=stderr",
        "--v=0",
    )
    done: Any = subprocess.run(
        ["chromium", *options, "--dump-dom", written.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert "mood on validation" in done.stdout
    assert "CONSOLE" not in done.stderr
    assert "Refused to" not in done.stderr


def test_a_page_that_would_be_too_large_leaves_its_largest_pictures_out_and_says_so() -> None:
    from markupsafe import Markup

    sizes = [2_000_000, 900_000, 3_000_000, 1_000_000]
    pictures = [
        (f"picture {n}", Markup(f"<svg>{'x' * size}</svg>")) for n, size in enumerate(sizes)
    ]
    text = page(
        "a study",
        "words",
        [Section("one", (), pictures[:2]), Section("two", (), pictures[2:])],
        (),
        "0",
    )
    assert len(text.encode()) < LARGEST
    left = [len(part) for part in re.findall(r"<svg>(x+)</svg>", text)]
    assert left == [2_000_000, 900_000, 1_000_000]
    assert all(caption in text for caption, _ in pictures)
    assert text.count("larger than 5 MB: --figures FOLDER draws it") == 1


def test_pictures_follow_the_dark_scheme_on_a_screen_and_stay_light_on_paper() -> None:
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    assert (
        "@media screen and (prefers-color-scheme: dark) { .picture svg { filter: invert(.92)"
        " hue-rotate(180deg); } }" in style
    )

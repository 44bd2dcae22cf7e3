"""What the tests of the documentation share: every page of the repository, read once, with its
blocks and headings.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from emomtl.plugins.discovery import Plugins

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<mark>`{3,}|~{3,})(?P<kind>[^\n`]*)\n(?P<body>.*?)^(?P=mark)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^#{1,6} (.+?)\s*#*$", re.MULTILINE)
LINK = re.compile(
    r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|!\[[^\]]*\]\(([^)\s]+)\)"
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language (the first word after the fence), its text, and the line on
    which it begins.
    """

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """One markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path inside the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [
            Block(
                (found["kind"].split() or [""])[0],
                found["body"],
                self.text.count("\n", 0, found.start()) + 1,
            )
            for found in FENCE.finditer(self.text)
        ]

    @property
    def unfenced(self) -> str:
        """The text without fenced blocks; line numbers stay."""
        return FENCE.sub(lambda found: "\n" * found[0].count("\n"), self.text)

    @property
    def prose(self) -> str:
        """The text without blocks, code spans, comments and link targets; line numbers stay."""
        text = re.sub(
            r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), self.unfenced, flags=re.DOTALL
        )
        text = re.sub(r"^ {4,}[^\s\-*].*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"(`+)(?:(?!\1).)+?\1", "CODE", text)
        return re.sub(r"\]\([^)]*\)", "]", text)

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as the sites that show markdown make them."""
        found: dict[str, int] = {}
        anchors = set()
        for heading in HEADING.findall(self.unfenced):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
            slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            number = found.get(slug, 0)
            found[slug] = number + 1
            anchors.add(slug if number == 0 else f"{slug}-{number}")
        return anchors

    @property
    def links(self) -> list[str]:
        """The targets of the links and pictures."""
        text = re.sub(r"(`+)(?:(?!\1).)+?\1", "CODE", self.unfenced)
        return [first or second for first, second in LINK.findall(text)]


def pages() -> list[Page]:
    """Every markdown file of the repository, hidden folders and environments left out."""
    found = []
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not any(
            part.startswith(".") or part in ("venv", "node_modules", "runs", "build", "dist")
            for part in parts
        ):
            found.append(Page(path, path.read_text(encoding="utf-8")))
    return found


PAGES = pages()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that ask for `page` run for every page."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])


@pytest.fixture(scope="session")
def all_pages() -> list[Page]:
    """Every page."""
    return PAGES


@pytest.fixture(scope="session")
def anchors_of() -> Callable[[Path], set[str]]:
    """The anchors of a markdown file."""
    known = {page.path: page.anchors for page in PAGES}
    return lambda path: known.get(path, set())


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """The first-party plugins."""
    return runpy.run_path(str(ROOT / "docs" / "generate.py"))["first_party"]()


@pytest.fixture(scope="session")
def text_of() -> dict[str, str]:
    """The text of every page by its path inside the repository."""
    return {page.name: page.text for page in PAGES}

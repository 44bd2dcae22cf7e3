"""Every relative link and anchor in every page leads somewhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote


def test_relative_links_lead_to_a_file_and_heading(page: Any, anchors_of: Any) -> None:
    broken = []
    for link in page.links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_every_page_is_in_the_table_of_contents(all_pages: Any) -> None:
    index = next(page for page in all_pages if page.name == "docs/index.md")
    linked = {
        (index.path.parent / link.partition("#")[0]).resolve()
        for link in index.links
        if "://" not in link
    }
    book = {
        page.path
        for page in all_pages
        if page.name.startswith("docs/") and not page.name.startswith("docs/examples/")
    }
    assert {path.name for path in book - linked - {index.path}} == set()


def test_no_page_links_to_an_absolute_path(page: Any) -> None:
    assert [link for link in page.links if link.startswith(("/", "file:"))] == []

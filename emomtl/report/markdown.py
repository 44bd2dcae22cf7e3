"""Tables and figures as one Markdown text that reads well raw and rendered, whatever labels are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from emomtl.contracts.analysis import Table
from emomtl.report.cells import plain, spelt

SPECIAL = re.compile(
    r"[&<>|\\`*$~#@]|\](?=[(\[:])|^\[|\[(?=[\^\[!])|"
    r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=\bwww)\.|^ |^[-+=](?![\d.])|^\d(?=\d*[.)](?:\s|$))",
    re.IGNORECASE,
)
"""What is markup, names somebody (`@`), is made a link where it stands, or begins a list, a rule or code in a line.

A bracket is only markup where a link, a footnote or a task could begin or end: others read better as they are.
"""
BRACKETS = {"[": "&#91;", "]": "&#93;"}

NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(tables: Sequence[Table], figures: Mapping[str, str] = {}) -> str:
    """A heading, the table and its notes for each table, then the figures (caption to path or address).

    Every text is escaped: nothing in a label can end a cell, start HTML, a link or a formula, or hold a control character.
    """
    parts = [_table(table) for table in tables]
    parts += [f"## {escape(caption)}\n\n![{_inside(caption)}]({quote(path, safe='/:')})\n" for caption, path in figures.items()]
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text that stands for itself in Markdown, by character references, which never count as markup."""
    return SPECIAL.sub(lambda found: NAMED.get(found[0], f"&#{ord(found[0])};"), plain(text))


def _inside(text: str) -> str:
    """Text between the brackets of an image, which no bracket of its own ends."""
    return "".join(BRACKETS.get(character, character) for character in escape(text))


def fenced(text: str, language: str) -> str:
    """Lines as a block of code, which nothing in them ends."""
    shown = [plain(line) for line in text.split("\n")]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence + language, *shown, fence])


def code(text: str) -> str:
    """Text as a code span, whatever stands in it."""
    shown = plain(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    gap = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


def _table(table: Table) -> str:
    """One table, its columns padded to one width; numbers flush right."""
    from rich.cells import cell_len

    lines = [[escape(column) for column in table.columns]]
    lines += [[escape(spelt(cell, name)) for name, cell in zip(table.columns, row, strict=True)] for row in table.rows]
    right = [table.numeric(i) for i in range(len(table.columns))]
    widths = [max(3, *(cell_len(line[i]) for line in lines)) for i in range(len(table.columns))]
    padded = []
    for line in lines:
        gaps = [" " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True)]
        cells = [gap + text if flush else text + gap for text, gap, flush in zip(line, gaps, right, strict=True)]
        padded.append(f"| {' | '.join(cells)} |")
    rule = ["-" * (width - 1) + ":" if flush else "-" * width for width, flush in zip(widths, right, strict=True)]
    padded.insert(1, f"| {' | '.join(rule)} |")
    notes = [f"- {escape(note)}" for note in table.notes]
    return "\n".join([f"## {escape(table.title)}", "", *padded, *([""] if notes else []), *notes]) + "\n"

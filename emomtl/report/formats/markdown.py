"""Tables and figures as Markdown that reads well raw and rendered, whatever labels are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from emomtl.contracts.analysis import Table
from emomtl.report.cells import cells_as_text, numeric_columns, plain
from emomtl.report.formats.table_format import TableFormat

SPECIAL = re.compile(
    # markup anywhere; a bracket where a link, a footnote or a task could begin or end
    r"[&<>|\\`*$~#@]|\](?=[(\[:])|^\[|\[(?=[\^\[!])|"
    # an underscore at a word's edge; addresses, which become links where they stand
    r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=\bwww)\.|"
    # what begins code, a list or a rule in a line
    r"^ |^[-+=](?![\d.])|^\d(?=\d*[.)](?:\s|$))",
    re.IGNORECASE,
)
"""What Markdown reads as markup or `@` as a person's name. Other brackets stay, to read better."""

CHARACTER_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(tables: Sequence[Table], figures: Mapping[str, str] = {}) -> str:
    """A heading, the table and its notes for each table, then the figures (caption to path).

    All text is escaped: nothing in a label can end a cell, begin HTML, a link or a formula, or
    contain a control character.
    """
    parts = list(map(_table, tables))
    for caption, path in figures.items():
        image = f"![{_in_brackets(caption)}]({quote(path, safe='/:')})"
        parts.append(f"## {escape(caption)}\n\n{image}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text that stands for itself, by character references, which never count as markup."""
    return SPECIAL.sub(
        lambda match: CHARACTER_NAMES.get(match[0], f"&#{ord(match[0])};"), plain(text)
    )


def _in_brackets(text: str) -> str:
    """Text between the brackets of an image, which no bracket of its own ends."""
    return escape(text).replace("[", "&#91;").replace("]", "&#93;")


def fenced(text: str, language: str) -> str:
    """Lines as a block of code, which nothing in them ends."""
    lines = [plain(line) for line in text.split("\n")]
    fence = "`" * max(3, 1 + max(map(_longest_backticks, lines)))
    return "\n".join([fence + language, *lines, fence])


def code(text: str) -> str:
    """Text as a code span, whatever it contains."""
    shown = plain(text)
    fence = "`" * (1 + _longest_backticks(shown))
    gap = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


def _longest_backticks(text: str) -> int:
    return max(map(len, re.findall("`*", text)))


def _table(table: Table) -> str:
    """One table, its columns padded to one width; numbers flush right."""
    from rich.cells import cell_len

    lines = [list(map(escape, row)) for row in (table.columns, *cells_as_text(table))]
    rule = []
    for column, numeric in enumerate(numeric_columns(table)):
        width = max(3, *(cell_len(line[column]) for line in lines))
        rule.append("-" * (width - 1) + (":" if numeric else "-"))
        for line in lines:
            gap = " " * (width - cell_len(line[column]))
            line[column] = gap + line[column] if numeric else line[column] + gap
    lines.insert(1, rule)
    text = [f"## {escape(table.title)}", "", *(f"| {' | '.join(line)} |" for line in lines)]
    if table.notes:
        text += ["", *(f"- {escape(note)}" for note in table.notes)]
    return "\n".join(text) + "\n"


FORMAT = TableFormat("markdown", "md", "Write the tables as markdown to this file.", markdown)

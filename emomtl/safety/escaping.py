"""Text from outside, escaped for where it is shown: a terminal, a JSON file, a spreadsheet."""

from __future__ import annotations

import json
import re
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a spreadsheet formula (OWASP, "CSV Injection"), full-width signs included."""

UNUSUAL = re.compile(r"[^\n\x20-\x7e]")

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def printable(text: str) -> str:
    r"""The text with control, bidi and zero-width characters escaped: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    shown = []
    for character in text:
        if not character.isprintable():
            character = character.encode("unicode_escape", "backslashreplace").decode()
        shown.append(character)
    return "".join(shown)


def printable_lines(text: str) -> str:
    """`printable` for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(value: Any, indent: int | None = None, allow_nan: bool = False) -> str:
    """The value as JSON that a terminal can show; ValueError for NaN unless `allow_nan`.

    Unprintable characters are written as JSON's own escapes, so that a reader gets the same value.
    """

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        return character if character.isprintable() else json.dumps(character)[1:-1]

    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    return UNUSUAL.sub(escaped, text)


def no_formula(text: str) -> str:
    """A cell of CSV: a text that a spreadsheet would compute gets `'` before it; numbers do not."""
    if text.startswith(FORMULA) and not NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 and tokenizers refuse, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

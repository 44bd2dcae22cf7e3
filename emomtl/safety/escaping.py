"""Text from outside where it is shown: what a terminal obeys, an eye cannot see or a spreadsheet computes is written out."""

from __future__ import annotations

import json
import re
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), the full-width signs too."""

UNUSUAL = re.compile(r"[^\n\x20-\x7e]")

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def printable(text: str) -> str:
    r"""The text with all that cannot be seen written as an escape: control, bidi and zero-width characters, `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(value: Any, indent: int | None = None, allow_nan: bool = False) -> str:
    """The value as JSON that a terminal can show and every reader reads back as it was; ValueError for NaN unless allowed."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    return UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def no_formula(text: str) -> str:
    """A cell of CSV: a text that a spreadsheet would compute gets `'` before it; plain numbers, signed ones too, stay."""
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 and tokenizers refuse, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

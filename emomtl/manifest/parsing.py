"""From a file to the data in it; a file that is not TOML is one problem with a line and a hint."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import tomli

from emomtl.errors import Problem, clean
from emomtl.manifest.places import dotted

MAX_BYTES = 1_000_000
"""A manifest is smaller; what is larger is another file."""

MAX_VALUES = 20_000
"""Keys and items of lists; more of them are a corpus and not a manifest."""

LONG_NUMBER = re.compile(r"[=\[,]\s*[+-]?[0-9][0-9_]{4199}")
"""A number of 4,200 digits: Python converts no longer ones, and tomli takes much memory for them.
"""

TWICE = re.compile(
    r"Cannot (?:declare|mutate immutable namespace) (\(.*?\))(?: twice)?(?: \(|$)", re.DOTALL
)
HINTS = {
    "Invalid value": "text goes in quotes; numbers, true and false go without",
    "Expected '='": "a line is key = value, or a table's name in [brackets]",
    "Invalid statement": "a line is key = value, or a table's name in [brackets]",
    "Expected newline": "one key = value a line; text goes in quotes",
    "Unclosed array": "close the list with ]",
    'Expected "': "close the text with the quote that opened it",
    "Unterminated string": "close the text with the quote that opened it",
    "Illegal character": (
        "a text over several lines goes in three quotes; other control "
        "characters are written as \\u0000"
    ),
    "Unescaped": "a backslash is written twice, or the text goes in single quotes",
}
"""Remedies by a part of tomli's message."""

SMALL = "a manifest is a small TOML file; is this another file?"


def read_text(path: Path) -> str | Problem:
    """The text of a file, without a byte order mark; or why it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Problem("", "there is no such file", "`emomtl init` writes a manifest")
    except IsADirectoryError:
        return Problem("", "is a folder", "name the manifest in it")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Problem("", f"cannot be read: {clean(reason)}")
    if len(data) > MAX_BYTES:
        return Problem("", f"is larger than {MAX_BYTES:,} bytes", SMALL)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem("", "is UTF-16 text", "save it as UTF-8")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        return Problem("", "is a binary file", "a manifest is TOML text", line=line)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"is not UTF-8 text: byte 0x{error.object[error.start]:02x}"
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem("", found, "save it as UTF-8", line=line)


def parse(text: str) -> dict[str, Any] | Problem:
    """The data of a TOML text, or the first thing that keeps it from being TOML."""
    if text.count(".") > MAX_VALUES:  # tomli takes seconds for many keys of hundreds of parts
        return Problem("", f"holds more than {MAX_VALUES:,} dots", SMALL)
    number = LONG_NUMBER.search(text)
    if number is not None:
        line = text.count("\n", 0, number.start()) + 1
        return Problem("", "found a whole number outside the range of 64 bits", line=line)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        return _syntax_problem(error, text)
    except RecursionError:
        rows = text.split("\n")
        longest = max(range(len(rows)), key=lambda row: len(rows[row]))
        remedy = "a key has a handful of parts"
        return Problem("", "is nested too deeply", remedy, line=longest + 1)
    except ValueError as error:
        return Problem("", f"not valid TOML: {clean(str(error))}")
    if _is_large(data):
        return Problem("", f"holds more than {MAX_VALUES:,} values", SMALL)
    return data


def _is_large(data: dict[str, Any]) -> bool:
    count = 0
    stack: list[Any] = [data]
    while stack and count <= MAX_VALUES:
        container = stack.pop()
        values = container.values() if isinstance(container, dict) else container
        count += len(values)
        stack.extend(value for value in values if isinstance(value, (dict, list)))
    return count > MAX_VALUES


def _syntax_problem(error: tomli.TOMLDecodeError, text: str) -> Problem:
    """What tomli says, with the text of the line and a hint."""
    rows = text.splitlines()
    line = min(error.lineno, len(rows))
    row = clean(rows[line - 1].strip(), 60) if rows else ""
    twice = TWICE.match(error.msg)
    if twice:
        place = dotted(ast.literal_eval(twice[1]))
        remedy = "one table or value a name: merge the two, or rename one"
        return Problem(place, "declared twice", remedy, line=line)
    if error.msg.startswith("Cannot overwrite") or "Duplicate" in error.msg:
        found = "a key is declared twice, or once with a value and once as a table"
        return Problem("", f"{found}: {row}", "keep one", line=line)
    hints = [hint for part, hint in HINTS.items() if part in error.msg]
    found = f"not valid TOML: {clean(error.msg, 120)}" + (f", in: {row}" if row else "")
    return Problem("", found, hints[0] if hints else "", line=line)

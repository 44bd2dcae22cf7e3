"""From a file to the data in it: every way in which a file can fail to be TOML is one clear problem."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import tomli

from emomtl.errors import Problem, clean
from emomtl.manifest.faults import dotted

MAX_BYTES = 1_000_000
"""A manifest is smaller; what is larger is another file."""

MAX_VALUES = 20_000
"""Keys and items of lists; more of them are a corpus and not a manifest."""

HUGE = re.compile(r"[=\[,]\s*[+-]?[0-9][0-9_]{4999}")
TOO_LARGE = "found a whole number outside the range of 64 bits"

TWICE = re.compile(r"Cannot (?:declare|mutate immutable namespace) (\(.*?\))(?: twice)?(?: \(|$)", re.DOTALL)
HINTS = (
    ("Invalid value", "text goes in quotes; numbers, true and false go without"),
    ("Expected '='", "a line is key = value, or a table's name in [brackets]"),
    ("Invalid statement", "a line is key = value, or a table's name in [brackets]"),
    ("Expected newline", "one key = value a line; text goes in quotes"),
    ("Unclosed array", "close the list with ]"),
    ('Expected "', "close the text with the quote that opened it"),
    ("Unterminated string", "close the text with the quote that opened it"),
    ("Illegal character", "a text over several lines goes in three quotes; other control characters are written as \\u0000"),
    ("Unescaped", "a backslash is written twice, or the text goes in single quotes"),
)


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
        return Problem("", f"cannot be read: {clean(getattr(error, 'strerror', None) or str(error))}")
    if len(data) > MAX_BYTES:
        return Problem("", f"is larger than {MAX_BYTES:,} bytes", "a manifest is a small TOML file; is this another file?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem("", "is UTF-16 text", "save it as UTF-8")
    if b"\0" in data:
        return Problem("", "is a binary file", "a manifest is TOML text", line=data.count(b"\n", 0, data.index(b"\0")) + 1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        line = data.count(b"\n", 0, data.index(error.object[error.start :])) + 1
        return Problem("", f"is not UTF-8 text: byte 0x{byte:02x}", "save it as UTF-8", line=line)


def parse(text: str) -> dict[str, Any] | Problem:
    """The data of a TOML text, or the first thing that keeps it from being TOML."""
    if text.count(".") > MAX_VALUES:  # the parser takes seconds for many keys of hundreds of parts
        return Problem("", f"holds more than {MAX_VALUES:,} dots", "a manifest is small; is this another file?")
    if (number := HUGE.search(text)) is not None:  # the parser takes a hundred bytes of memory for each digit
        return Problem("", TOO_LARGE, line=text.count("\n", 0, number.start()) + 1)
    try:
        data = tomli.loads(text)
        if _is_large(data):
            return Problem("", f"holds more than {MAX_VALUES:,} values", "a manifest is small; is this another file?")
        return data
    except tomli.TOMLDecodeError as error:
        return _syntax(error, text)
    except RecursionError:
        return Problem("", "is nested too deeply", "a key has a handful of parts", line=_line_of_most(text, r"[.\[{]"))
    except ValueError as error:
        digits = "digits" in str(error)
        found = TOO_LARGE if digits else f"not valid TOML: {clean(str(error))}"
        return Problem("", found, line=_line_of_most(text, r"[0-9]"))


def _is_large(data: dict[str, Any]) -> bool:
    count = 0
    todo: list[Any] = [data]
    while todo and count <= MAX_VALUES:
        value = todo.pop()
        items = value.values() if isinstance(value, dict) else value
        count += len(items)
        todo.extend(item for item in items if isinstance(item, (dict, list)))
    return count > MAX_VALUES


def _syntax(error: tomli.TOMLDecodeError, text: str) -> Problem:
    """What the parser says, with the text of the line and a hint."""
    lines = text.splitlines()
    row = min(error.lineno, len(lines))
    here = clean(lines[row - 1].strip(), 60) if lines else ""
    twice = TWICE.match(error.msg)
    if twice:
        parts = ast.literal_eval(twice[1])
        return Problem(dotted(parts), "declared twice", "one table or value a name: merge the two, or rename one", line=row)
    if error.msg.startswith("Cannot overwrite") or "Duplicate" in error.msg:
        return Problem("", f"a key is declared twice, or once with a value and once as a table: {here}", "keep one", line=row)
    hint = next((hint for start, hint in HINTS if start in error.msg), "")
    return Problem("", f"not valid TOML: {clean(error.msg, 120)}" + (f", in: {here}" if here else ""), hint, line=row)


def _line_of_most(text: str, pattern: str) -> int | None:
    """The line with the most matches, where there are so many that it must be the culprit."""
    counts = [sum(1 for _ in re.finditer(pattern, line)) for line in text.split("\n")]
    most = max(counts)
    return counts.index(most) + 1 if most > 300 else None

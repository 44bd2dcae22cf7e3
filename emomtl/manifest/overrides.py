"""`--set KEY=VALUE`: values for single keys from the command line, read by the parser that reads the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomli

from emomtl.errors import Problem, clean
from emomtl.manifest.faults import dotted

Override = tuple[tuple[str, ...], Any]
FORM = "write --set train.lr=1e-5"


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """The data with every override in it, and what is wrong with those that could not be applied; `data` stays as it is.

    A value is read as TOML; a bare word is text. A key that is given twice, once whole and once in part included, and a
    key that leads through something other than a table are problems, placed at `--set KEY`.
    """
    problems: list[Problem] = []
    seen: list[tuple[str, ...]] = []
    for text in overrides:
        read = read_override(text)
        if isinstance(read, Problem):
            problems.append(read)
            continue
        parts, value = read
        twice = next((other for other in seen if parts[: len(other)] == other or other[: len(parts)] == parts), None)
        if twice is not None:
            also = "" if twice == parts else f", as a part of it or with it: {place(twice)}"
            problems.append(Problem(place(parts), f"is set twice{also}", "keep one of them"))
            continue
        seen.append(parts)
        changed = _put(data, parts, value)
        if isinstance(changed, Problem):
            problems.append(changed)
        else:
            data = changed
    return data, problems


def place(parts: Sequence[str | int]) -> str:
    """The place of something that the command line set."""
    return f"--set {dotted(parts)}"


def read_override(text: str) -> Override | Problem:
    """The parts of the key and the value of one override, or why it cannot be read."""
    at = _equals(text)
    key = text if at is None else text[:at]
    shown = f"--set {clean(key.strip())}".strip()
    if at is None:
        return Problem(shown, "has no value", FORM)
    parts = _parts(key)
    if parts is None:
        return Problem(shown, "is not a dotted key", f"{FORM}; a part with other characters goes in quotes")
    raw = text[at + 1 :].strip()
    if any("\ud800" <= char <= "\udfff" for char in text):
        return Problem(place(parts), "is not readable text", "write it in UTF-8")
    if not raw:
        return Problem(place(parts), "has no value", f"{FORM}; an empty text is --set {dotted(parts)}='\"\"'")
    return _value(parts, raw)


def _value(parts: tuple[str, ...], raw: str) -> Override | Problem:
    try:
        read = tomli.loads(f"value = {raw}")
        if list(read) == ["value"]:
            return parts, read["value"]
    except (ValueError, RecursionError) as error:
        if raw[0] in "\"'[{":
            return Problem(place(parts), f"found a value that does not read: {clean(raw, 40)}", clean(str(error), 120))
    return parts, raw


def _equals(text: str) -> int | None:
    """Where the first `=` outside quotes is."""
    quote = ""
    escaped = False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = char == "\\" and quote == '"'
            quote = "" if char == quote else quote
        elif char == "=":
            return i
        elif char in "\"'":
            quote = char
    return None


def _parts(key: str) -> tuple[str, ...] | None:
    """The parts of a dotted key, as the parser reads them; None where it is not one."""
    if "\n" in key or "\r" in key:
        return None
    try:
        inner: Any = tomli.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return None
    parts: list[str] = []
    while isinstance(inner, dict) and inner:
        name, inner = next(iter(inner.items()))
        parts.append(name)
    return tuple(parts) or None


def _put(data: dict[str, Any], parts: tuple[str, ...], value: Any) -> dict[str, Any] | Problem:
    """A copy of the data with the value in it; only the tables on the way are copied."""
    changed = inner = dict(data)
    for i, part in enumerate(parts[:-1]):
        below = inner.get(part, {})
        if isinstance(below, list):
            return Problem(place(parts), f"'{dotted(parts[: i + 1])}' is a list", "set the whole list")
        if not isinstance(below, dict):
            found = f"'{dotted(parts[: i + 1])}' is a value, not a table"
            return Problem(place(parts), found, "set the value itself")
        inner[part] = dict(below)
        inner = inner[part]
    inner[parts[-1]] = value
    return changed

"""`--set KEY=VALUE`: values of single keys from the command line, read as TOML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomli

from emomtl.errors import Problem, clean
from emomtl.manifest.places import dotted

Override = tuple[tuple[str, ...], Any]
"""The parts of a key, and its value."""

FORM = "write --set train.lr=1e-5"


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """The data with every override in it, and the problems of those that could not be applied.

    `data` stays as it is. A value is read as TOML; a bare word is text. Problems are placed at
    `--set KEY`; one is a key that is set twice, be it once whole and once in part.
    """
    problems: list[Problem] = []
    seen: list[tuple[str, ...]] = []
    for text in overrides:
        override = read_override(text)
        if isinstance(override, Problem):
            problems.append(override)
            continue
        parts, value = override
        twice = [other for other in seen if _is_within(parts, other) or _is_within(other, parts)]
        if twice:
            found = "is set twice"
            if twice[0] != parts:
                found += f", as a part of it or with it: {override_place(twice[0])}"
            problems.append(Problem(override_place(parts), found, "keep one of them"))
            continue
        seen.append(parts)
        changed = _with_value(data, parts, value)
        if isinstance(changed, Problem):
            problems.append(changed)
        else:
            data = changed
    return data, problems


def override_place(parts: Sequence[str | int]) -> str:
    """The place of a problem with what the command line set."""
    return f"--set {dotted(parts)}"


def read_override(text: str) -> Override | Problem:
    """The key and the value of one override, or why it cannot be read."""
    key, equals, value = _split(text)
    shown = f"--set {clean(key.strip())}".strip()
    if not equals:
        return Problem(shown, "has no value", FORM)
    parts = _parts(key)
    if parts is None:
        remedy = f"{FORM}; a part with other characters goes in quotes"
        return Problem(shown, "is not a dotted key", remedy)
    place, value = override_place(parts), value.strip()
    if any("\ud800" <= char <= "\udfff" for char in text):
        return Problem(place, "is not readable text", "write it in UTF-8")
    if not value:
        remedy = f"{FORM}; an empty text is --set {dotted(parts)}='\"\"'"
        return Problem(place, "has no value", remedy)
    try:
        data = tomli.loads(f"value = {value}")
        if list(data) == ["value"]:  # else the text has lines with keys of its own
            return parts, data["value"]
    except (ValueError, RecursionError) as error:
        if value[0] in "\"'[{":
            found = f"found a value that does not read: {clean(value, 40)}"
            return Problem(place, found, clean(str(error), 120))
    return parts, value


def _split(text: str) -> tuple[str, str, str]:
    """Key, `=` and value; the key may have quoted parts with `=` in them."""
    end = 0
    while (equals := text.find("=", end)) >= 0:
        if _parts(text[:equals]) is not None:
            return text[:equals], "=", text[equals + 1 :]
        end = equals + 1
    return text.partition("=")


def _parts(key: str) -> tuple[str, ...] | None:
    """The parts of a dotted key; None for a text that is none."""
    if "\n" in key or "\r" in key:
        return None
    try:
        inner: Any = tomli.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return None
    parts: list[str] = []
    while isinstance(inner, dict) and inner:
        part, inner = next(iter(inner.items()))
        parts.append(part)
    return tuple(parts) or None


def _is_within(parts: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return parts[: len(other)] == other


def _with_value(
    data: dict[str, Any], parts: tuple[str, ...], value: Any
) -> dict[str, Any] | Problem:
    """A copy of the data with the value in it; only the tables on the way are copied."""
    changed = table = dict(data)
    for number, part in enumerate(parts[:-1], start=1):
        inner = table.get(part, {})
        above = dotted(parts[:number])
        if isinstance(inner, list):
            return Problem(override_place(parts), f"'{above}' is a list", "set the whole list")
        if not isinstance(inner, dict):
            found = f"'{above}' is a value, not a table"
            return Problem(override_place(parts), found, "set the value itself")
        table[part] = dict(inner)
        table = table[part]
    table[parts[-1]] = value
    return changed

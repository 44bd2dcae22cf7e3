"""In which line of a TOML file a key stands, which the parser does not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import tomli

from emomtl.manifest.places import Parts

MAX_DEPTH = 30
"""Parts of a place that are kept; deeper manifests are refused."""

MAX_TRIES = 100
"""Lines at which the end of one statement is looked for; hostile files have lists of many lines."""


class Lines:
    """The lines of a TOML text by place; places that an override set (`overridden`) have none."""

    def __init__(self, text: str, overridden: Iterable[Sequence[str | int]] = ()) -> None:
        self._text = text
        self._overridden = [tuple(parts) for parts in overridden]

    @cached_property
    def _by_place(self) -> dict[Parts, int]:
        return _lines_by_place(self._text)

    def of(self, place: Sequence[str | int]) -> int | None:
        """The line (from 1) of a place, or of its nearest ancestor that has one; else None.

        What stands in a list or an inline table of several lines has the line in which that begins.
        """
        if self.overridden(place):
            return None
        for length in range(len(place), 0, -1):
            line = self._by_place.get(tuple(place[:length]))
            if line is not None:
                return line
        return None

    def overridden(self, place: Sequence[str | int]) -> bool:
        """Whether the place, a table that it is in, or all that is in it was set by an override."""
        own = tuple(place)
        if any(own[: len(parts)] == parts for parts in self._overridden):
            return True
        has_overrides = any(parts[: len(own)] == own for parts in self._overridden)
        return has_overrides and bool(own) and own not in self._by_place


def _lines_by_place(text: str) -> dict[Parts, int]:
    lines: dict[Parts, int] = {}
    table_counts: Counter[Parts] = Counter()  # tables so far of each [[array of tables]]
    table: Parts = ()
    for line, statement, data in _statements(text):
        if not statement.startswith("["):
            for place in _places(data):
                lines.setdefault((*table, *place), line)
            continue
        keys, is_array = _header(data)
        table = ()
        for number, key in enumerate(keys, start=1):
            table = (*table, key)
            lines.setdefault(table, line)
            if is_array and number == len(keys):
                table_counts[table] += 1
            if table_counts[table]:  # a header means the last table of an array
                table = (*table, table_counts[table] - 1)
        lines[table] = line  # the table's own header, even if a sub-table came before
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each header and each key with its value: its line, its text, and what it holds parsed alone.

    A statement goes on until its lines parse. After many lines the end is only looked for now and
    then, so that lines of what follows may be those of the long statement.
    """
    rows = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    first, tries, next_try = 0, 0, 0
    for number, row in enumerate(rows):
        ends_here = number == first or any(mark in row for mark in ("]", "}", '"""', "'''"))
        if not ends_here or number < next_try:
            continue
        statement = "\n".join(rows[first : number + 1])
        try:
            data = tomli.loads(statement)
        except (ValueError, RecursionError):
            tries += 1
            if tries > MAX_TRIES:
                next_try = number + (number - first)
            continue
        if data:
            yield first + 1, statement.strip(), data
        first, tries, next_try = number + 1, 0, 0


def _header(data: dict[str, Any]) -> tuple[list[str], bool]:
    """The keys of a table's header, and whether it is one of an array: `[a.b]` or `[[a.b]]`."""
    keys: list[str] = []
    inner: Any = data
    while isinstance(inner, dict) and inner and len(keys) < MAX_DEPTH:
        key, inner = next(iter(inner.items()))
        keys.append(key)
    return keys, isinstance(inner, list)


def _places(data: dict[str, Any]) -> Iterator[Parts]:
    """The places of all keys in nested tables."""
    stack: list[tuple[Parts, dict[str, Any]]] = [((), data)]
    while stack:
        above, table = stack.pop()
        for key, value in table.items():
            place = (*above, key)
            yield place
            if isinstance(value, dict) and len(place) < MAX_DEPTH:
                stack.append((place, value))

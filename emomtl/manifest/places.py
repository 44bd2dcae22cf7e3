"""Places in a manifest, such as `tasks.x.head.lr` or `plugins[1]`, and their parts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from emomtl.errors import clean

Parts = tuple[str | int, ...]
"""The keys that lead to a place, and the numbers of items in lists."""

MAX_LENGTH = 400
"""Characters of a place that are shown."""

PART = re.compile(r'\.?(?:"((?:[^"\\]|\\.)*)"|\[(\d+)\]|([^.\[\]"]+))')
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dotted(parts: Iterable[str | int]) -> str:
    """A place as TOML writes it: keys that need quotes have them, `[2]` is the third of a list."""
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            quoted = '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
            key = part if BARE_KEY.fullmatch(part) else quoted
            place += ("." if place else "") + clean(key)
        if len(place) > MAX_LENGTH:
            return place + "…"
    return place


def parts_of(place: str) -> Parts:
    """The parts of a dotted place: the reverse of `dotted`, for places that it did not shorten."""
    parts: list[str | int] = []
    for quoted, index, bare in PART.findall(place):
        if index:
            parts.append(int(index))
        else:
            parts.append(bare or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(parts)

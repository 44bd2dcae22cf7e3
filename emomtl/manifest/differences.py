"""Where two manifests differ, by dotted place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomtl.manifest.later import came_later


def differences(before: Any, after: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted places at which two manifests (or tables of them) differ, with both values; None where one lacks the key."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = []
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{place}.{key}" if place else str(key)
            found += differences(before.get(key), after.get(key), inner)
        return found
    if before == after or (before is None and came_later(place, after)):
        return []
    return [(place, before, after)]

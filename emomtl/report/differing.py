"""Where two runs differ, as a table: a row for each key, with both values."""

from __future__ import annotations

from typing import Any

from emomtl.contracts.analysis import Table
from emomtl.manifest import Manifest, differences

SHOWN = 160
"""Characters of a value that a table of differences shows."""


def differing(title: str, names: tuple[str, str, str], before: Any, after: Any, none: str = "no difference") -> Table:
    """A table under `names` (of the key and both sides) of where two mappings differ; `none` is the note where they do not."""
    rows = tuple((place, shortened(old), shortened(new)) for place, old, new in differences(before, after))
    return Table(title, names, rows, () if rows else (none,))


def told(manifest: Manifest) -> dict[str, Any]:
    """What of a manifest is compared: all but the folder in which it was written."""
    return manifest.model_dump(mode="json", exclude={"folder"})


def shortened(value: object) -> str:
    """A value as text, cut where it is long; nothing for None."""
    text = "" if value is None else str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"

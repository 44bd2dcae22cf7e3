"""Files from outside, measured before they are parsed: JSON, safetensors headers, links."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

SHORT = 1_000_000
"""Length of a JSON text below which its values are not counted."""

MOST_VALUES = 500_000
"""Most commas, lists and objects of a longer JSON text; each may cost 80 bytes of memory."""

TEXT = re.compile(r'"(?>[^"\\]++|\\.)*+"?', re.DOTALL)
MARKS = ",[{"

MOST_HEADER = 10_000_000
"""Most bytes of a safetensors header; real ones have ten thousand."""


class TooLarge(ValueError):
    """JSON that is nested too deep, or has too many values, to be read."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_unless_changed(path: Path) -> str:
    """The same, computed once in this process for a file that has not changed since.

    A study composes a hundred manifests over one encoder of 90 MB. Every write changes `ctime`.
    """
    status = path.stat()
    return _sha256_of_version(path, status.st_ino, status.st_size, status.st_ctime_ns)


@lru_cache(maxsize=64)
def _sha256_of_version(path: Path, inode: int, size: int, changed: int) -> str:
    return sha256_of(path)


def loads(text: str | bytes, **options: Any) -> Any:
    """`json.loads` with limits; ValueError for what is no JSON, too deep or too large."""
    if len(text) > SHORT:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        # Marks inside of strings count for nothing; the costly removal of strings comes second.
        if (
            _count_marks(decoded) > MOST_VALUES
            and _count_marks(TEXT.sub("", decoded)) > MOST_VALUES
        ):
            raise TooLarge(f"more than {MOST_VALUES:,} values in {len(text) / 1e6:,.0f} MB")
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise TooLarge("nested too deep to be read") from None


def _count_marks(text: str) -> int:
    return sum(map(text.count, MARKS))


def leads_out(folder: Path, path: Path) -> bool:
    """Whether a path in a folder is a link to somewhere outside of it.

    A link of the hub's cache from a snapshot into its `blobs` is allowed.
    """
    home, target = folder.resolve(), path.resolve()
    if target.is_relative_to(home):
        return False
    for parent in home.parents:
        if parent.name == "snapshots" and target.parent == parent.parent / "blobs":
            return False
    return True


def is_failure(error: BaseException) -> bool:
    """Whether a library failed, as opposed to Ctrl-C; a panic of Rust is no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def tensor_header(data: bytes, size: int) -> tuple[dict[str, tuple[int, ...]], Mapping[str, Any]]:
    """The shapes by tensor and the metadata of a safetensors file.

    `data` is the file's beginning with at least its header (up to `MOST_HEADER` bytes), `size` the
    bytes of the whole file. ValueError where the header is damaged, or a tensor lies outside of
    the file.
    """
    # The format: 8 bytes with the header's length, the header as JSON, the tensors' bytes.
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MOST_HEADER, size - 8):
        raise ValueError(f"its header claims {length:,} bytes")
    header = loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    metadata = header.pop("__metadata__", {})
    most_offset = size - 8 - length
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in header.items():
        shape, offsets = _counts(entry, "shape"), _counts(entry, "data_offsets")
        is_inside = (
            offsets is not None and len(offsets) == 2 and offsets[0] <= offsets[1] <= most_offset
        )
        if shape is None or not is_inside:
            raise ValueError(f"its header has no place for {name[:80]!r}")
        shapes[name] = shape
    return shapes, metadata if isinstance(metadata, dict) else {}


def _counts(entry: Any, key: str) -> tuple[int, ...] | None:
    """The list of whole numbers under a key of an object; None where there is no such list."""
    numbers = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(numbers, list):
        return None
    if not all(type(number) is int and number >= 0 for number in numbers):
        return None
    return tuple(numbers)

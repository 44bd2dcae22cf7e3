"""What comes from outside, measured before it is parsed: JSON, headers of safetensors files, digests, and where links lead."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

SHORT = 1_000_000
"""Bytes or characters of a JSON text that is parsed in any case."""

MOST_VALUES = 500_000
"""Commas, lists and objects of a longer one. Each may cost 80 bytes of memory for two of text."""

TEXT = re.compile(r'"(?>[^"\\]++|\\.)*+"?', re.DOTALL)
MARKS = ",[{"

MOST_HEADER = 10_000_000
"""Bytes of a safetensors header; those of real models have some ten thousand, and the library would take a hundred million."""


class TooLarge(ValueError):
    """JSON that is nested too deep, or has too many values, to be read."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits; the file is never whole in memory."""
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
    """The value of a JSON text, as `json.loads` gives it; ValueError for what is none, nested too deep, or too many values."""
    if len(text) > SHORT:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        if sum(map(decoded.count, MARKS)) > MOST_VALUES and sum(map(TEXT.sub("", decoded).count, MARKS)) > MOST_VALUES:
            raise TooLarge(f"more than {MOST_VALUES:,} values in {len(text) / 1e6:,.0f} MB")
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise TooLarge("nested too deep to be read") from None


def leads_out(folder: Path, path: Path) -> bool:
    """Whether what lies at a path in a folder is elsewhere: behind a link, other than one of the hub cache into its blobs."""
    home, there = folder.resolve(), path.resolve()
    cached = any(place.name == "snapshots" and there.parent == place.parent / "blobs" for place in home.parents)
    return not (cached or there.is_relative_to(home))


def is_failure(error: BaseException) -> bool:
    """Whether a library failed, in Rust too, whose panics are no `Exception`; not where somebody wants the process to end."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def tensor_header(data: bytes, size: int) -> tuple[dict[str, tuple[int, ...]], Mapping[str, Any]]:
    """The shapes of the tensors of a safetensors file by name, and its metadata, from its first bytes and its size.

    `data` has at least the header, or as much of it as MOST_HEADER allows. ValueError where it is none, or a tensor would lie
    outside of the file.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MOST_HEADER, size - 8):
        raise ValueError(f"its header claims {length:,} bytes")
    header = loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    about = header.pop("__metadata__", {})
    shapes: dict[str, tuple[int, ...]] = {}
    for name, one in header.items():
        shape, (begin, *end) = _counts(one, "shape"), _counts(one, "data_offsets") or (size,)
        if shape is None or len(end) != 1 or not begin <= end[0] <= size - 8 - length:
            raise ValueError(f"its header has no place for {name[:80]!r}")
        shapes[name] = shape
    return shapes, about if isinstance(about, dict) else {}


def _counts(one: Any, key: str) -> tuple[int, ...] | None:
    """The whole numbers of a list under a key; None where it is no such list."""
    found = one.get(key) if isinstance(one, dict) else None
    return tuple(found) if isinstance(found, list) and all(type(number) is int and number >= 0 for number in found) else None

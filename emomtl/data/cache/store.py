"""The cache: arrays under a key, kept between runs, written whole or not at all, never trusted.

An entry is a folder of `.npy` files with a description that has the size, type, shape and hash of
each, and a hash of its own. Two kinds of entries hold what a corpus becomes: its rows and targets
(`cache.rows`), and its tokens (`cache.tokens`). Whatever goes wrong with the cache is one note, and
no reason for a run to fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emomtl.errors import EmomtlError, clean
from emomtl.safety.files import fsync_file, fsync_folder, write_new
from emomtl.safety.untrusted import loads, sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 10_000_000
"""Bytes of a description."""

STALE = 24 * 3600
"""Seconds after which a folder that a killed process left is removed."""

FOLDER = "corpora"
DESCRIPTION = "entry.json"
KEY = re.compile(r"[0-9a-f]{64}")
ARRAY = re.compile(r"[a-z0-9-]+\.npy")
TEMPORARY = ".tmp-"

Facts = Mapping[str, Any]
Arrays = Mapping[str, "NDArray[Any]"]
T = TypeVar("T")


class Damaged(Exception):
    """An entry is not what was written."""


@dataclass(frozen=True)
class Entry:
    """One entry: its folder, the facts of its description, its bytes, and when it was last used.

    `facts` is empty where the description cannot be read.
    """

    folder: Path
    facts: Facts
    bytes: int
    used: float

    @property
    def key(self) -> str:
        """The name."""
        return self.folder.name


def cache_folder() -> Path | None:
    """The folder of the cache, made or not; None where it is `off`.

    It lies below EMOMTL_CACHE, else below the user's cache folder.
    """
    chosen = os.environ.get("EMOMTL_CACHE", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen).absolute() / FOLDER
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(xdg) if os.path.isabs(xdg) else Path(os.path.expanduser("~")) / ".cache"
    return home / "emomtl" / FOLDER


def reason_to_distrust(folder: Path) -> str | None:
    """Why a folder is not trusted: others own it or the one above it, or may write there."""
    for path in (folder.parent, folder):
        facts = path.stat()
        if facts.st_uid != os.geteuid():
            return f"{clean(str(path), 400)} belongs to another user"
        if facts.st_mode & 0o022:
            return f"other users may write to {clean(str(path), 400)}"
    return None


def entries(folder: Path) -> list[Entry]:
    """The entries of the cache's folder, last used first; what is no entry is passed over."""
    if not folder.is_dir():
        return []
    found = [_entry(path) for path in folder.iterdir() if is_entry(path)]
    return sorted(found, key=lambda entry: (-entry.used, entry.key))


def is_entry(path: Path) -> bool:
    """Whether a path is an entry, whole or damaged.

    That is a folder with a key for its name and none but an entry's files in it.
    """
    if not KEY.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    for inner in path.iterdir():
        if inner.is_dir() or not (inner.name == DESCRIPTION or ARRAY.fullmatch(inner.name)):
            return False
    return True


def _entry(folder: Path) -> Entry:
    sizes = [path.lstat().st_size for path in folder.iterdir()]
    try:
        facts, used = _read_description(folder), (folder / DESCRIPTION).stat().st_mtime
    except (Damaged, OSError):
        facts, used = {}, folder.stat().st_mtime
    return Entry(folder, facts, sum(sizes), used)


def remove_entry(folder: Path) -> None:
    """Remove an entry: it is renamed first, so that nobody finds a part of it."""
    temporary = _temporary(folder)
    folder.rename(temporary)
    shutil.rmtree(temporary)


def remove_stale(folder: Path) -> None:
    """Remove what processes left that were killed long ago."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError):
            is_old = time.time() - path.stat().st_mtime > STALE
            if is_old and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def _temporary(folder: Path) -> Path:
    return folder.with_name(f"{TEMPORARY}{folder.name[:16]}-{uuid.uuid4().hex}")


class Store:
    """The cache as a run uses it. After the first trouble with its folder it is used no more."""

    def __init__(self, folder: Path | None, note: Callable[[str], None]) -> None:
        self.folder, self.note = folder, note
        self._checked = False

    @property
    def usable(self) -> bool:
        """Whether it can be used. The first time the folder is made, and its owner checked."""
        if self.folder is not None and not self._checked:
            self._checked = True
            try:
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700, exist_ok=True)
                reason = reason_to_distrust(self.folder)
            except OSError as error:
                reason = _reason(error)
            if reason is not None:
                self._give_up(reason)
        return self.folder is not None

    def find(self, key: str, parse: Callable[[Facts, Arrays], T]) -> T | None:
        """What `parse` makes of an entry's facts and mapped arrays; None where there is no entry.

        A damaged entry is noted, removed, and counts as none. `parse` raises `Damaged` or
        ValueError where the arrays do not belong together.
        """
        if not self.usable:
            return None
        assert self.folder is not None
        folder = self.folder / key
        try:
            if not folder.is_dir():
                return None
            try:
                parsed = parse(*read_entry(folder))
            except (Damaged, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                if folder.is_dir():  # else another process removed it meanwhile
                    self._remove_damaged(folder, error)
                return None
            with suppress(OSError):
                os.utime(folder / DESCRIPTION)  # when it was last used
        except OSError as error:
            self._give_up(_reason(error))
            return None
        return parsed

    def keep(self, key: str, arrays: Arrays, facts: Facts) -> None:
        """Make an entry; where another process was first, its equal entry stays."""
        if not self.usable:
            return
        assert self.folder is not None
        try:
            remove_stale(self.folder)
            _write(self.folder / key, arrays, facts)
        except (OSError, EmomtlError) as error:
            self._give_up(_reason(error))

    def _remove_damaged(self, folder: Path, error: Exception) -> None:
        reason = _reason(error) if isinstance(error, OSError) else clean(str(error), 200)
        self.note(f"the cache's entry {folder.name[:12]} is damaged ({reason}) and is made again")
        with suppress(FileNotFoundError):
            remove_entry(folder)

    def _give_up(self, reason: str) -> None:
        folder, self.folder = clean(str(self.folder), 400), None
        remedy = "set EMOMTL_CACHE to a folder you own"
        self.note(f"the cache {folder} is not used: {reason}; {remedy}")


def _reason(error: OSError | EmomtlError) -> str:
    if isinstance(error, EmomtlError):
        return error.problems[0].found
    return error.strerror or clean(str(error), 200)


def read_entry(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """An entry's facts and mapped arrays.

    Damaged, OSError or ValueError where anything is not as written.
    """
    import numpy as np

    facts = _read_description(folder)
    if facts.get("key") != folder.name:
        raise Damaged("it was written under another key")
    arrays: dict[str, NDArray[Any]] = {}
    for name, written in facts["files"].items():
        if not ARRAY.fullmatch(name):
            raise Damaged("its description names a strange file")
        path = folder / name
        size = path.stat().st_size
        if size != written["bytes"]:
            raise Damaged(f"{name} has {size:,} bytes, {written['bytes']:,} were written")
        if sha256_of(path) != written["sha256"]:
            raise Damaged(f"{name} has changed since it was written")
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # numpy has no one error for what is no array
            raise Damaged(f"{name} is no array: {clean(str(error))}") from error
        if mapped.dtype.str != written["type"] or list(mapped.shape) != written["shape"]:
            raise Damaged(f"{name} holds {mapped.ndim}-dimensional {mapped.dtype}")
        # Still mapped; the plain type is faster to index.
        arrays[name.removesuffix(".npy")] = np.asarray(mapped)
    return facts, arrays


def _digest(description: Facts) -> str:
    """The hash of a description, over all but the hash itself."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _read_description(folder: Path) -> dict[str, Any]:
    """The description of an entry, held against its own hash."""
    try:
        with open(folder / DESCRIPTION, "rb") as stream:
            description = loads(stream.read(MOST_BYTES))
        digest = description.pop("sha256")
        if digest == _digest(description):
            return dict(description)
    except FileNotFoundError as error:
        raise Damaged(f"{DESCRIPTION} is missing") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{DESCRIPTION} is not readable") from error
    raise Damaged(f"{DESCRIPTION} has changed since it was written")


def _write(folder: Path, arrays: Arrays, facts: Facts) -> None:
    """Write an entry to a temporary folder, down to the disk, and rename it."""
    temporary = _temporary(folder)
    temporary.mkdir(mode=0o700)
    try:
        files = {}
        for name, array in arrays.items():
            files[f"{name}.npy"] = _save(temporary / f"{name}.npy", array)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        description = {**facts, "key": folder.name, "created": created, "files": files}
        description["sha256"] = _digest(description)
        write_new(temporary / DESCRIPTION, json.dumps(description, indent=2).encode() + b"\n")
        fsync_folder(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # where it is, another process was first
                raise
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write one array down to the disk; its size, type, shape and hash."""
    import numpy as np

    with open(path, "xb") as stream:
        np.save(stream, array, allow_pickle=False)
    fsync_file(path)
    facts = {"type": array.dtype.str, "shape": list(array.shape)}
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path), **facts}

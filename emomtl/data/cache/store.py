"""What is kept between runs: arrays under a key, written whole or not at all, mapped and never trusted blindly.

An entry is a folder of `.npy` files with a description that has the size, type, shape and hash of each, and a hash of its
own. Whatever goes wrong with a store costs one note and no run.
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

from emomtl.errors import clean
from emomtl.safety.untrusted import loads, sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 10_000_000
"""Bytes of a description."""

STALE = 24 * 3600
"""Seconds after which a folder that a killed builder left is removed."""

DESCRIPTION = "entry.json"
NAME = re.compile(r"[0-9a-f]{64}")
ARRAY = re.compile(r"[a-z0-9-]+\.npy")
ASIDE = ".tmp-"
Kept = TypeVar("Kept")


class Damaged(Exception):
    """An entry is not what was written."""


@dataclass(frozen=True)
class Entry:
    """One entry: its folder, what its description says (empty where it cannot be read), its bytes, and when it was last used."""

    folder: Path
    facts: Mapping[str, Any]
    bytes: int
    used: float

    @property
    def key(self) -> str:
        """The name."""
        return self.folder.name


def cache_folder(store: str) -> Path | None:
    """The folder of a store, made or not: below EMOMTL_CACHE, else the user's cache folder; None where it is `off`."""
    chosen = os.environ.get("EMOMTL_CACHE", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen).absolute() / store
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".cache") / "emomtl" / store


def distrust(folder: Path) -> str | None:
    """Why an existing cache folder is not to be trusted: it, or the one above it, is another's or may be written by others."""
    for path in (folder.parent, folder):
        facts = path.stat()
        if facts.st_uid != os.geteuid():
            return f"{clean(str(path), 400)} belongs to another user"
        if facts.st_mode & 0o022:
            return f"other users may write to {clean(str(path), 400)}"
    return None


def entries(folder: Path) -> list[Entry]:
    """The entries of a store's folder, last used first; what is no entry is passed over."""
    if not folder.is_dir():
        return []
    found = [_entry(path) for path in folder.iterdir() if is_entry(path)]
    return sorted(found, key=lambda entry: (-entry.used, entry.key))


def is_entry(path: Path) -> bool:
    """Whether a path is an entry, whole or damaged: a folder with a key for its name and none but an entry's files in it."""
    if not NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    names = ((inner.name, inner.is_dir()) for inner in path.iterdir())
    return all((name == DESCRIPTION or ARRAY.fullmatch(name)) and not folder for name, folder in names)


def _entry(folder: Path) -> Entry:
    sizes = [path.lstat().st_size for path in folder.iterdir()]
    try:
        facts, used = _described(folder), (folder / DESCRIPTION).stat().st_mtime
    except (Damaged, OSError):
        facts, used = {}, folder.stat().st_mtime
    return Entry(folder, facts, sum(sizes), used)


def remove_entry(folder: Path) -> None:
    """Remove an entry: it is renamed first, so that nobody finds a part of it."""
    aside = _aside(folder)
    folder.rename(aside)
    shutil.rmtree(aside)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{ASIDE}{folder.name[:16]}-{uuid.uuid4().hex}")


class Store:
    """One store as a run uses it; `what` names it in notes. After the first thing wrong with its folder it is used no more."""

    def __init__(self, what: str, folder: Path | None, note: Callable[[str], None]) -> None:
        self.what, self.folder, self.note = what, folder, note
        self._checked = False

    @property
    def usable(self) -> bool:
        """Whether it can be used; the first time, the folder is made and it is looked at whose it is."""
        if self.folder is not None and not self._checked:
            self._checked = True
            try:
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700, exist_ok=True)
                reason = distrust(self.folder)
            except OSError as error:
                reason = _reason(error)
            if reason is not None:
                self._give_up(reason)
        return self.folder is not None

    def find(self, key: str, parse: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], Kept]) -> Kept | None:
        """What `parse` makes of an entry's facts and mapped arrays; None where there is none, or a damaged one, now removed.

        `parse` raises `Damaged` or ValueError where the arrays do not belong together.
        """
        if not self.usable:
            return None
        assert self.folder is not None
        folder = self.folder / key
        try:
            if not folder.is_dir():
                return None
            try:
                found = parse(*read_entry(folder))
            except (Damaged, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                if folder.is_dir():
                    reason = _reason(error) if isinstance(error, OSError) else clean(str(error), 200)
                    self.note(f"the {self.what}'s entry {key[:12]} is damaged ({reason}) and is made again")
                    with suppress(FileNotFoundError):
                        remove_entry(folder)
                return None
            with suppress(OSError):
                os.utime(folder / DESCRIPTION)
        except OSError as error:
            self._give_up(_reason(error))
            return None
        return found

    def keep(self, key: str, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Make an entry; where another builder was first, its equal entry stays."""
        if not self.usable:
            return
        assert self.folder is not None
        try:
            sweep(self.folder)
            _write(self.folder / key, arrays, facts)
        except OSError as error:
            self._give_up(_reason(error))

    def _give_up(self, reason: str) -> None:
        folder, self.folder = clean(str(self.folder), 400), None
        self.note(f"the {self.what} {folder} is not used: {reason}; set EMOMTL_CACHE to a folder you own")


def _reason(error: OSError) -> str:
    return error.strerror or clean(str(error), 200)


def read_entry(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """An entry's description and its mapped arrays; Damaged, OSError or ValueError where anything is not as written."""
    import numpy as np

    facts = _described(folder)
    if facts.get("key") != folder.name:
        raise Damaged("it was written under another key")
    arrays: dict[str, NDArray[Any]] = {}
    for name, wanted in facts["files"].items():
        if not ARRAY.fullmatch(name):
            raise Damaged("its description names a strange file")
        path = folder / name
        if path.stat().st_size != wanted["bytes"]:
            raise Damaged(f"{name} has {path.stat().st_size:,} bytes, {wanted['bytes']:,} were written")
        if sha256_of(path) != wanted["sha256"]:
            raise Damaged(f"{name} has changed since it was written")
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # numpy has no one error for what is no array
            raise Damaged(f"{name} is no array: {clean(str(error))}") from error
        if mapped.dtype.str != wanted["type"] or list(mapped.shape) != wanted["shape"]:
            raise Damaged(f"{name} holds {mapped.ndim}-dimensional {mapped.dtype}")
        arrays[name.removesuffix(".npy")] = np.asarray(mapped)  # still mapped; the plain type is faster to index
    return facts, arrays


def _described(folder: Path) -> dict[str, Any]:
    """The description of an entry, held against its own hash."""
    try:
        with open(folder / DESCRIPTION, "rb") as handle:
            found = loads(handle.read(MOST_BYTES))
        digest = found.pop("sha256")
        if digest == hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest():
            return dict(found)
    except FileNotFoundError as error:
        raise Damaged(f"{DESCRIPTION} is missing") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{DESCRIPTION} is not readable") from error
    raise Damaged(f"{DESCRIPTION} has changed since it was written")


def _write(folder: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write an entry aside, down to the disk, and rename it; where another builder was first, its equal entry stays."""
    aside = _aside(folder)
    aside.mkdir(mode=0o700)
    try:
        files = {f"{name}.npy": _save(aside / f"{name}.npy", array) for name, array in arrays.items()}
        described = {**facts, "key": folder.name, "created": datetime.now(UTC).isoformat(timespec="seconds"), "files": files}
        described["sha256"] = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        with open(aside / DESCRIPTION, "xb") as handle:
            handle.write(json.dumps(described, indent=2).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        _fsync_folder(aside)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        _fsync_folder(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _save(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write one array down to the disk; its size, type, shape and hash."""
    import numpy as np

    with open(path, "xb") as handle:
        np.save(handle, array, allow_pickle=False)
        handle.flush()
        os.fsync(handle.fileno())
    facts = {"type": array.dtype.str, "shape": list(array.shape)}
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path), **facts}


def _fsync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what builders left that were killed long ago."""
    for path in folder.glob(f"{ASIDE}*"):
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)

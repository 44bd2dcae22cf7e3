"""Durable writes: a file is there whole or not at all, also after a power cut, and a failing disk is said in one sentence."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import loads

MOST_BYTES = 64 * 2**20
"""Bytes of a JSON file of a run; those that emomtl writes have some ten thousand."""

ELSEWHERE = "choose a folder on another disk with --out"
REMEDIES = {
    errno.ENOSPC: f"free space, or {ELSEWHERE}",
    errno.EDQUOT: f"free space within your quota, or {ELSEWHERE}",
    errno.EFBIG: f"raise the limit on file sizes (ulimit -f), or {ELSEWHERE}",
    errno.EROFS: f"make the disk writable, or {ELSEWHERE}",
    errno.EACCES: "give this account the right to it, or choose another folder with --out",
    errno.EPERM: "give this account the right to it, or choose another folder with --out",
    errno.EIO: f"the disk fails: check it, or {ELSEWHERE}",
    errno.ENOENT: "the folder has gone: was it moved or removed? Put it back, or choose another with --out",
    errno.ENOTDIR: "a file stands where a folder should be; choose another folder with --out",
}


def trouble(path: Path, found: str, remedy: str) -> Problem:
    """A problem whose place is a path, fit for a message."""
    return Problem(clean(str(path), 400), found, remedy)


@contextmanager
def storage(path: Path, doing: str = "written") -> Iterator[None]:
    """Turn whatever the disk refuses inside into one EmomtlError that names `path`, what failed and what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise _named(error, path, doing) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # known by name, so that this layer need not import safetensors
            raise
        raise _named(error, path, doing) from error


def _named(error: Exception, path: Path, doing: str) -> Exception:
    """The EmomtlError for an error of the disk; any other error as it is."""
    code = error.errno or 0 if isinstance(error, OSError) else _code_in(str(error))
    if code is None:
        return error
    reason, remedy = os.strerror(code) if code else clean(str(error), 200), REMEDIES.get(code, ELSEWHERE)
    if code == errno.ENOSPC and _inodes_are_gone(path):
        reason, remedy = f"{reason}, as no inode is free", f"remove files, or {ELSEWHERE}"
    return EmomtlError(trouble(path, f"cannot be {doing}: {reason}", remedy))


def _inodes_are_gone(path: Path) -> bool:
    """Whether the disk of a path takes no more files, whatever bytes are free; False where it does not tell."""
    there = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    with suppress(OSError):
        disk = os.statvfs(there)
        return disk.f_files > 0 and disk.f_favail == 0
    return False


def _code_in(text: str) -> int | None:
    """The errno that a library's message speaks of (safetensors and torch wrap a full disk into errors of their own)."""
    spoken = re.search(r"os error (\d+)", text)
    if spoken:
        return int(spoken[1])
    return next((code for code in REMEDIES if os.strerror(code) in text), None)


def fsync_file(path: Path) -> None:
    """Bring the content of a file that is written and closed to the disk."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Bring a folder's list of names to the disk: only then a new or renamed file survives a power cut."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    with storage(path):
        handle = os.open(path, flags | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet, down to the disk; for files in a folder that is itself not published yet."""
    with storage(path), open(path, "xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def aside_of(path: Path) -> Path:
    """Where a file is written before it takes the place of another; a crash may leave it."""
    return path.with_name(f".tmp-{path.name}")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file by `data`: after a crash the old content or the new one is there, never a part.

    Raises EmomtlError where the disk refuses; the old content is then untouched. One writer a file at a time.
    """
    aside = aside_of(path)
    with storage(path):
        try:
            with open(aside, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(aside, path)
        except OSError:
            with suppress(OSError):
                os.unlink(aside)
            raise
        fsync_folder(path.parent)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Replace several files of one folder: all that a full disk refuses is refused before the first is replaced.

    Each is written aside, down to the disk, and only then all take their places. One writer a file at a time.
    """
    asides = {path: aside_of(path) for path in contents}
    try:
        for path, content in contents.items():
            with storage(path), open(asides[path], "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        for path, aside in asides.items():
            move(aside, path)
    except BaseException:
        for aside in asides.values():
            with suppress(OSError):
                os.unlink(aside)
        raise
    for folder in {path.parent for path in contents}:
        fsync_folder(folder)


def as_json_bytes(obj: Any) -> bytes:
    """`obj` as readable JSON; ValueError for NaN and infinities, which JSON does not know."""
    return json.dumps(obj, indent=2, allow_nan=False).encode() + b"\n"


def write_json(path: Path, obj: Any) -> None:
    """Replace a file by `obj` as readable JSON, durably; ValueError for NaN and infinities, which JSON does not know."""
    write_bytes(path, as_json_bytes(obj))


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file; EmomtlError where it is missing, no regular file (a pipe would block), or larger than `most`."""
    with storage(path, "read"), open(path, "rb", opener=_without_waiting) as handle:
        facts = os.fstat(handle.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise damaged(path, "it is no file")
        if facts.st_size > most:
            raise damaged(path, f"it has {facts.st_size:,} bytes, and at most {most:,} are read")
        return handle.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that emomtl wrote; EmomtlError where it is missing or damaged."""
    data = read_bytes(path)
    try:
        found = loads(data)
    except ValueError as error:
        raise damaged(path, f"not JSON: {clean(str(error))}") from error
    if not isinstance(found, dict):
        raise damaged(path, f"a JSON object was expected, found {type(found).__name__}")
    return found


def damaged(path: Path, reason: str) -> EmomtlError:
    """The error for a file that is there but is not what emomtl wrote."""
    return EmomtlError(trouble(path, f"damaged: {reason}", "restore it from a copy, or start another run with --out"))


def replace_link(link: Path, target: Path) -> None:
    """Let `link` point at `target` by a relative path; readers see the old target or the new one, never none."""
    aside = link.with_name(f".tmp-{link.name}")
    with storage(link):
        with suppress(FileNotFoundError):
            os.unlink(aside)
        os.symlink(os.path.relpath(target, link.parent), aside)
        os.replace(aside, link)
        fsync_folder(link.parent)


def move(source: Path, target: Path) -> None:
    """Rename within one folder; the caller syncs the folder."""
    with storage(target):
        os.replace(source, target)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    with storage(path, "removed"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def free_bytes(path: Path) -> int:
    """Bytes that this account may still write on the disk of `path`; all there can be where the disk does not tell its size."""
    with storage(path, "read"):
        disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else sys.maxsize


def require_space(path: Path, needed: int) -> None:
    """Refuse before the first byte where less than 1.2 times `needed` bytes are free."""
    free, wanted = free_bytes(path), needed * 6 // 5
    if free < wanted:
        found = f"{wanted / 1e6:.1f} MB are needed to write it safely, {free / 1e6:.1f} MB are free"
        raise EmomtlError(trouble(path, found, REMEDIES[errno.ENOSPC]))

"""Atomic, durable writes, and errors of the disk as one EmomtlError with a remedy."""

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
"""Most bytes of a JSON file of a run; those that emomtl writes have some ten thousand."""

ELSEWHERE = "choose a folder on another disk with --out"
REMEDIES = {
    errno.ENOSPC: f"free space, or {ELSEWHERE}",
    errno.EDQUOT: f"free space within your quota, or {ELSEWHERE}",
    errno.EFBIG: f"raise the limit on file sizes (ulimit -f), or {ELSEWHERE}",
    errno.EROFS: f"make the disk writable, or {ELSEWHERE}",
    errno.EACCES: "give this account the right to it, or choose another folder with --out",
    errno.EPERM: "give this account the right to it, or choose another folder with --out",
    errno.EIO: f"the disk fails: check it, or {ELSEWHERE}",
    errno.ENOENT: (
        "the folder has gone: was it moved or removed? Put it back, or choose another with --out"
    ),
    errno.ENOTDIR: "a file stands where a folder should be; choose another folder with --out",
}


def trouble(path: Path, found: str, remedy: str) -> Problem:
    """A problem whose place is a path, which is shortened and escaped."""
    return Problem(clean(str(path), 400), found, remedy)


def damaged(path: Path, reason: str) -> EmomtlError:
    """The error for a file that exists but is not what emomtl wrote."""
    remedy = "restore it from a copy, or start another run with --out"
    return EmomtlError(trouble(path, f"damaged: {reason}", remedy))


@contextmanager
def storage(path: Path, doing: str = "written") -> Iterator[None]:
    """Turn errors of the disk into an EmomtlError: `path` cannot be `doing`, why, and a remedy."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise _translated(error, path, doing) from error
    except Exception as error:
        # known by its name, so that this layer need not import safetensors
        if type(error).__name__ != "SafetensorError":
            raise
        raise _translated(error, path, doing) from error


def _translated(error: Exception, path: Path, doing: str) -> Exception:
    """The EmomtlError for an error of the disk; any other error unchanged."""
    code = (error.errno or 0) if isinstance(error, OSError) else _errno_in(str(error))
    if code is None:
        return error
    reason = os.strerror(code) if code else clean(str(error), 200)
    remedy = REMEDIES.get(code, ELSEWHERE)
    if code == errno.ENOSPC and _has_no_inodes(path):
        reason, remedy = f"{reason}, as no inode is free", f"remove files, or {ELSEWHERE}"
    return EmomtlError(trouble(path, f"cannot be {doing}: {reason}", remedy))


def _has_no_inodes(path: Path) -> bool:
    """Whether the disk of a path takes no more files although bytes may be free."""
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    with suppress(OSError):
        disk = os.statvfs(existing)
        return disk.f_files > 0 and disk.f_favail == 0
    return False


def _errno_in(text: str) -> int | None:
    """The errno in a library's message: safetensors and torch wrap a full disk into own errors."""
    if match := re.search(r"os error (\d+)", text):
        return int(match[1])
    return next((code for code in REMEDIES if os.strerror(code) in text), None)


def fsync_file(path: Path) -> None:
    """Bring the content of a closed file to the disk."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Bring a folder's list of names to the disk: a new or renamed file needs it, too."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    with storage(path):
        handle = os.open(path, flags | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet, durably; for files in a folder that has no name yet."""
    with storage(path):
        _write(path, "xb", data)


def _write(path: Path, mode: str, data: bytes) -> None:
    with open(path, mode) as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def aside_of(path: Path) -> Path:
    """The temporary file that replaces `path` once it is complete; a crash may leave it."""
    return path.with_name(f".tmp-{path.name}")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file by `data`: after a crash it has its old content or the new one, never a part.

    EmomtlError where the disk refuses; the old content is then untouched.
    """
    write_together({path: data})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Replace several files: what a full disk refuses is refused before the first is replaced.

    Each is written to a temporary file, durably, and only then all are renamed. One writer a file
    at a time.
    """
    asides = {path: aside_of(path) for path in contents}
    try:
        for path, content in contents.items():
            with storage(path):  # names the file itself, not its temporary one
                _write(asides[path], "wb", content)
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
    """`write_bytes` of `obj` as readable JSON; ValueError for NaN and infinities."""
    write_bytes(path, as_json_bytes(obj))


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file; EmomtlError where it is missing or larger than `most`."""
    # without waiting: opening a pipe would block until somebody writes into it
    with storage(path, "read"), open(path, "rb", opener=_open_without_waiting) as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise damaged(path, "it is no file")
        if status.st_size > most:
            raise damaged(path, f"it has {status.st_size:,} bytes, and at most {most:,} are read")
        return handle.read()


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that emomtl wrote; EmomtlError where it is missing or damaged."""
    data = read_bytes(path)
    try:
        content = loads(data)
    except ValueError as error:
        raise damaged(path, f"not JSON: {clean(str(error))}") from error
    if not isinstance(content, dict):
        raise damaged(path, f"a JSON object was expected, found {type(content).__name__}")
    return content


def replace_link(link: Path, target: Path) -> None:
    """Point a link at `target` by a relative path; readers see the old target or the new one."""
    aside = aside_of(link)
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
    """Free bytes for this account on a disk; `sys.maxsize` where the disk tells no size."""
    with storage(path, "read"):
        disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else sys.maxsize


def require_space(path: Path, needed: int) -> None:
    """EmomtlError where less than 1.2 times `needed` bytes are free."""
    free, wanted = free_bytes(path), needed * 6 // 5
    if free < wanted:
        sizes = f"{wanted / 1e6:.1f} MB are needed to write it safely, {free / 1e6:.1f} MB are free"
        raise EmomtlError(trouble(path, sizes, REMEDIES[errno.ENOSPC]))

"""What a run records: events (metrics.jsonl), evaluations (scores.json) and lines of text
(log.txt).
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean, quoted
from emomtl.run.digest import read_sealed, write_sealed
from emomtl.run.lock import try_lock
from emomtl.safety.files import aside_of, damaged, fsync_folder, storage, trouble
from emomtl.safety.untrusted import loads

SCORES_FORMAT = 1
PLAIN, DIGEST = re.compile(r"[a-z0-9-]{1,80}"), re.compile(r"[0-9a-f]{64}")
BLOCK = 65536
LOCK = ".scores-lock"
LOCK_SECONDS = 30.0


class EventLog:
    """A file of one JSON object a line that grows at its end; a last line that a crash tore is
    dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one line; ValueError for NaN and infinities. Floats are read back exactly.

        On a full disk no part of the line stays.
        """
        data = json.dumps(dict(event), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with storage(self.path):
            handle = self._open()
            before = os.fstat(handle)
            # A file that was removed under the run still takes writes, which would be lost.
            if before.st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            try:
                while data:
                    data = data[os.write(handle, data) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(handle, before.st_size)
                raise

    def read(self) -> Iterator[dict[str, Any]]:
        """Every complete line as an object; EmomtlError with its number for a damaged one."""
        with storage(self.path, "read"):
            if not self.path.exists():
                return
            with open(self.path, "rb") as handle:
                for number, line in enumerate(handle, start=1):
                    if line.endswith(b"\n"):
                        yield self._parse(line, number)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            event = loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            text = clean(line.decode(errors="replace").rstrip())
            found = f"damaged: not one JSON object a line: {text!r}"
            remedy = "restore the file from a copy, or remove that line"
            raise EmomtlError(Problem("", found, remedy, str(self.path), number))
        return event

    def size(self) -> int:
        """Bytes of complete lines, brought to the disk first."""
        if self._handle is None and not self.path.exists():
            return 0
        with storage(self.path):
            handle = self._open()
            os.fsync(handle)
            return os.fstat(handle).st_size

    def truncate(self, size: int) -> None:
        """Durably remove everything after the first `size` bytes; EmomtlError where no line ends
        there.
        """
        if size == 0 and not self.path.exists():
            return
        with storage(self.path):
            handle = self._open()
            size_now = os.fstat(handle).st_size
            if size_now < size:
                raise damaged(
                    self.path,
                    f"it holds {size_now} bytes, and held {size} when the checkpoint was written",
                )
            if size and os.pread(handle, 1, size - 1) != b"\n":
                raise damaged(
                    self.path,
                    f"no line ends at byte {size}, where one ended when the checkpoint was written",
                )
            os.ftruncate(handle, size)
            os.fsync(handle)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        """The open file; a torn last line is removed when it is opened."""
        if self._handle is None:
            is_new = not self.path.exists()
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(self.path, flags, 0o666)
            if is_new:
                fsync_folder(self.path.parent)
            size = os.fstat(self._handle).st_size
            complete = _end_of_last_line(self._handle, size)
            if complete < size:
                os.ftruncate(self._handle, complete)
        return self._handle


def _end_of_last_line(handle: int, size: int) -> int:
    """The number of bytes up to and with the last newline."""
    end = size
    while end:
        start = max(0, end - BLOCK)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def read_scores(path: Path, run: str | None) -> list[dict[str, Any]]:
    """Every evaluation, oldest first; empty where there is none yet. EmomtlError where it is
    damaged.
    """
    with storage(path, "read"):
        if not path.exists():
            return []
    content = read_sealed(path, run)
    version, evaluations = content.get("format"), content.get("evaluations")
    if version != SCORES_FORMAT:
        raise damaged(path, f"format {quoted(version)}, this emomtl reads format {SCORES_FORMAT}")
    if not isinstance(evaluations, list):
        raise damaged(path, "`evaluations` is not a list")
    for number, entry in enumerate(evaluations, 1):
        if not is_evaluation(entry):
            lacking = "lacks a split, a checkpoint, a step or the scores of its tasks"
            raise damaged(path, f"evaluation {number} {lacking}")
    return evaluations


def add_scores(path: Path, entry: Mapping[str, Any], run: str | None) -> int:
    """Append an evaluation, and return its `look`: 1 for the first of its split, rows and
    checkpoint.

    Other processes may evaluate the same run at the same time: no look at test goes uncounted.
    """
    with only_writer(path):
        entries = read_scores(path, run)
        look = 1 + sum(_is_same_look(earlier, entry) for earlier in entries)
        evaluations = [*entries, {**entry, "look": look}]
        write_sealed(path, {"format": SCORES_FORMAT, "evaluations": evaluations}, run)
    return look


def _is_same_look(earlier: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether two evaluations are of the same split and checkpoint, and of the same rows of a task.

    The fingerprints in `data` tell rows apart. Where the two have no task in common, the look
    counts: one too many is better than one forgotten.
    """
    if (earlier["split"], earlier["checkpoint"]) != (entry["split"], entry["checkpoint"]):
        return False
    before, now = earlier.get("data"), entry.get("data")
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return True
    common = [task for task in now if task in before]
    return not common or any(before[task] == now[task] for task in common)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Inside, no other process writes the run's scores or thresholds (`path`)."""
    with storage(path):
        os.stat(path.parent)  # a folder that has gone is not made again, as the lock would
    lock = try_lock(path.with_name(LOCK), LOCK_SECONDS)
    if lock is None:
        found = f"another process has been writing it for {LOCK_SECONDS:.0f} seconds"
        raise EmomtlError(trouble(path, found, "stop it, try again"))
    try:
        yield
    finally:
        lock.release()


def drop_unfinished(path: Path) -> None:
    """Remove what a killed writer of the scores left, unless another process writes them now."""
    if not aside_of(path).exists():
        return
    lock = try_lock(path.with_name(LOCK))
    if lock is not None:
        with storage(path):
            aside_of(path).unlink(missing_ok=True)
        lock.release()


def append_text(path: Path, text: str) -> None:
    """Append lines to a log; control characters, which a terminal would obey, are escaped."""
    lines = "".join(clean(line, 2000) + "\n" for line in text.splitlines() or [""])
    with storage(path), open(path, "ab", buffering=0, opener=_open_no_link) as handle:
        handle.write(lines.encode())


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def is_evaluation(entry: object) -> bool:
    """Whether it is an entry of scores.json: split, checkpoint, step, scores by task, perhaps
    digests.
    """
    if not isinstance(entry, dict):
        return False
    if not _is_name(entry.get("split")) or not _is_name(entry.get("checkpoint")):
        return False
    if not _is_count(entry.get("step")) or not _is_count(entry.get("look", 1)):
        return False
    tasks, data = entry.get("tasks"), entry.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(digest, str) for digest in data.values()):
        return False
    if "answers" in entry:
        digest = entry["answers"]
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            return False
    return isinstance(tasks, dict) and all(map(_is_scores, tasks.values()))


def _is_scores(scores: object) -> bool:
    """Whether it holds a task's rows, metrics (numbers or None) and tables (lists of objects)."""
    if not isinstance(scores, dict) or not _is_count(scores.get("rows")):
        return False
    metrics, tables = scores.get("metrics"), scores.get("tables", {})
    if not isinstance(metrics, dict) or not isinstance(tables, dict):
        return False
    for table in tables.values():
        if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
            return False
    return all(value is None or _is_finite(value) for value in metrics.values())


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and PLAIN.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0

"""What a run writes down as it goes: events (metrics.jsonl), evaluations (scores.json) and plain lines (log.txt)."""

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
from emomtl.safety.files import aside_of, damaged, fsync_folder, storage, trouble
from emomtl.safety.untrusted import loads

SCORES_FORMAT = 1
PLAIN, DIGEST = re.compile(r"[a-z0-9-]{1,80}"), re.compile(r"[0-9a-f]{64}")
BLOCK = 65536
LOCK = ".scores-lock"


class EventLog:
    """A file of one JSON object a line that grows at its end; a line that a crash tore is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one line; numbers come back exactly. ValueError for NaN and infinities. On a full disk no part stays."""
        rest = json.dumps(dict(event), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with storage(self.path):
            handle = self._open()
            before = os.fstat(handle)
            if before.st_nlink == 0:  # removed under the run: writes would succeed and be lost
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            try:
                while rest:
                    rest = rest[os.write(handle, rest) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(handle, before.st_size)
                raise

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole line as an object; EmomtlError with the line's number for one that is damaged."""
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
            found = f"damaged: not one JSON object a line: {clean(line.decode(errors='replace').rstrip())!r}"
            raise EmomtlError(Problem("", found, "restore the file from a copy, or remove that line", str(self.path), number))
        return event

    def size(self) -> int:
        """Bytes of whole lines, brought to the disk first."""
        if self._handle is None and not self.path.exists():
            return 0
        with storage(self.path):
            handle = self._open()
            os.fsync(handle)
            return os.fstat(handle).st_size

    def cut(self, size: int) -> None:
        """Forget everything after the first `size` bytes, durably; EmomtlError where that is not the end of a line."""
        if size == 0 and not self.path.exists():
            return
        with storage(self.path):
            handle = self._open()
            there = os.fstat(handle).st_size
            if there < size:
                raise damaged(self.path, f"it holds {there} bytes, and held {size} when the checkpoint was written")
            if size and os.pread(handle, 1, size - 1) != b"\n":
                raise damaged(self.path, f"no line ends at byte {size}, where one ended when the checkpoint was written")
            os.ftruncate(handle, size)
            os.fsync(handle)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        """The open file; at the first time a torn last line is cut off."""
        if self._handle is None:
            new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            self._handle = handle
            if new:
                fsync_folder(self.path.parent)
            size = os.fstat(handle).st_size
            whole = _end_of_last_line(handle, size)
            if whole < size:
                os.ftruncate(handle, whole)
        return self._handle


def _end_of_last_line(handle: int, size: int) -> int:
    """Where the last line that is whole ends: the bytes up to and with the last newline."""
    end = size
    while end:
        start = max(0, end - BLOCK)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def read_scores(path: Path, run: str | None) -> list[dict[str, Any]]:
    """Every evaluation in the order in which they were made; empty where there is none yet."""
    with storage(path, "read"):
        if not path.exists():
            return []
    found = read_sealed(path, run)
    if found.get("format") != SCORES_FORMAT:
        raise damaged(path, f"format {quoted(found.get('format'))}, this emomtl reads format {SCORES_FORMAT}")
    evaluations = found.get("evaluations")
    if not isinstance(evaluations, list):
        raise damaged(path, "`evaluations` is not a list")
    for number, entry in enumerate(evaluations, 1):
        if not is_evaluation(entry):
            raise damaged(path, f"evaluation {number} lacks a split, a checkpoint, a step or the scores of its tasks")
    return evaluations


def add_scores(path: Path, entry: Mapping[str, Any], run: str | None) -> int:
    """Append an evaluation (with `split` and `checkpoint`) and return the how manieth look at that pair it is.

    An evaluation of other rows (another fingerprint in `data`) is no look at these.

    Safe against other processes that evaluate the same run at the same time, so that no look at test goes uncounted.
    """
    with only_writer(path):
        entries = read_scores(path, run)
        look = 1 + sum(_looked_at_the_same(old, entry) for old in entries)
        write_sealed(path, {"format": SCORES_FORMAT, "evaluations": [*entries, {**entry, "look": look}]}, run)
    return look


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other processes that evaluate the same run from writing its scores or thresholds (`path`) meanwhile."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(LOCK), thread_local=False)
    try:
        with storage(path):
            os.stat(path.parent)  # a folder that has gone is not made again (the lock would)
            lock.acquire(timeout=30)
    except EmomtlError as error:
        if isinstance(error.__cause__, Timeout):
            raise EmomtlError(trouble(path, "another process has been writing it for 30 seconds", "stop it, try again")) from None
        raise
    try:
        yield
    finally:
        lock.release()


def _looked_at_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an evaluation was of the same split and checkpoint, and not of other rows of all its tasks.

    Where the two have no task in common it counts: a look is rather counted than forgotten.
    """
    if (old["split"], old["checkpoint"]) != (new["split"], new["checkpoint"]):
        return False
    before, now = old.get("data"), new.get("data")
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return True
    common = [task for task in now if task in before]
    return not common or any(before[task] == now[task] for task in common)


def drop_unfinished(path: Path) -> None:
    """Remove what a killed writer of the scores left, unless another process is writing them now."""
    from filelock import FileLock, Timeout

    if not aside_of(path).exists():
        return
    lock = FileLock(path.with_name(LOCK), thread_local=False)
    try:
        with storage(path):
            lock.acquire(timeout=0)
            aside_of(path).unlink(missing_ok=True)
    except EmomtlError as error:
        if not isinstance(error.__cause__, Timeout):
            raise
    finally:
        lock.release()


def append_text(path: Path, text: str) -> None:
    """Append lines to a log that people read; control characters (which a terminal would obey) are escaped."""
    lines = "".join(clean(line, 2000) + "\n" for line in text.splitlines() or [""])
    with storage(path), open(path, "ab", buffering=0, opener=_itself) as handle:
        handle.write(lines.encode())


def _itself(path: str, flags: int) -> int:
    """Opens a file, and nothing that a link of its name leads to."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def is_evaluation(entry: object) -> bool:
    """Whether it is what an evaluation writes: a split and a checkpoint by name, a step, scores by task, perhaps a digest."""
    if not isinstance(entry, dict) or not all(_is_name(entry.get(key)) for key in ("split", "checkpoint")):
        return False
    tasks, answers = entry.get("tasks"), entry.get("answers", "")
    data = entry.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(one, str) for one in data.values()):
        return False
    known = (
        _is_count(entry.get("step"))
        and _is_count(entry.get("look", 1))
        and ("answers" not in entry or (isinstance(answers, str) and DIGEST.fullmatch(answers)))
    )
    return bool(known and isinstance(tasks, dict) and all(_is_scores(scores) for scores in tasks.values()))


def _is_scores(scores: object) -> bool:
    if not isinstance(scores, dict) or not _is_count(scores.get("rows")):
        return False
    metrics, tables = scores.get("metrics"), scores.get("tables", {})
    figures = isinstance(metrics, dict) and all(one is None or _is_finite(one) for one in metrics.values())
    return (
        figures
        and isinstance(tables, dict)
        and all(isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in tables.values())
    )


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # a number by now


def _is_name(value: object) -> bool:
    return isinstance(value, str) and PLAIN.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0

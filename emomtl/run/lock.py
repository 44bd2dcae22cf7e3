"""Locks: one process owns a run, and who that is. The kernel frees a lock when its owner dies,
however it dies.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.files import read_json, storage, trouble, write_json

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
HOLDER = ".lock-holder.json"
STUDY_LOCK = ".study-lock"
"""Held by the study that does the run, until it has been scored; see `emomtl.study.turns`."""

TRIES, PAUSE = 40, 0.02
"""How often, and with how many seconds between, a lock is tried whose holder is not known.

A process that has just taken the lock has not yet written who it is, and one that was killed may
have forked a child that is about to release it.
"""


class InUse(EmomtlError):
    """Another process holds the lock of the run in `folder`; with `mine` it is this process."""

    def __init__(self, folder: Path, problem: Problem, mine: bool) -> None:
        super().__init__(problem)
        self.folder, self.mine = folder, mine


def try_lock(path: Path, timeout: float = 0) -> BaseFileLock | None:
    """The lock file at `path`, acquired; None where another process holds it until `timeout`."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    try:
        with storage(path):
            lock.acquire(timeout=timeout)
    except EmomtlError as error:
        if isinstance(error.__cause__, Timeout):  # an OSError, so `storage` has translated it
            return None
        raise
    return lock


class RunLock:
    """The lock of one run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: BaseFileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None and self._lock.is_locked

    def acquire(self) -> None:
        """Take the lock; `InUse` where another process has it, with its number, host and time."""
        if self.held:
            return
        for attempt in range(TRIES):
            self._lock = try_lock(self.folder / LOCK)
            if self._lock is not None:
                break
            if self._holder() or attempt == TRIES - 1:
                raise self._in_use()
            time.sleep(PAUSE)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        try:
            write_json(self.folder / HOLDER, holder)
        except EmomtlError:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock; nothing happens where it is not held, or where the folder has gone."""
        if self._lock is not None and self.held:
            with suppress(OSError):
                os.unlink(self.folder / HOLDER)
            self._lock.release()
        self._lock = None

    def _in_use(self) -> InUse:
        holder = self._holder()
        who, mine = "another process", False
        if holder is not None:
            host, since = clean(str(holder["host"])), clean(str(holder["since"]))
            who = f"process {holder['pid']} on {host} since {since}"
            mine = holder["host"] == socket.gethostname() and holder["pid"] == os.getpid()
        remedy = "wait until it has finished or stop it, or choose another folder with --out"
        return InUse(self.folder, trouble(self.folder, f"in use by {who}", remedy), mine)

    def _holder(self) -> dict[str, Any] | None:
        """What the holder wrote; None where that is missing, damaged, or of a process that has
        died.
        """
        try:
            holder = read_json(self.folder / HOLDER)
        except EmomtlError:
            return None
        if not {"pid", "host", "since"} <= holder.keys():
            return None
        is_local = holder["host"] == socket.gethostname() and Path("/proc/self").exists()
        if is_local and not Path("/proc", str(holder["pid"])).exists():
            return None
        return holder

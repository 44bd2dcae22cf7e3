"""One process owns a run: a lock that dies with its owner, and who that owner is."""

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
PATIENCE, MOMENT = 40, 0.02
"""How often a lock is tried whose holder is not known, and the seconds between: one that took it this instant has not yet
written down who it is, and one that was killed may have forked a child that is about to let go."""


class InUse(EmomtlError):
    """Another process holds the lock of the run in `folder`; `mine` where that is this process itself."""

    def __init__(self, folder: Path, problem: Problem, mine: bool) -> None:
        super().__init__(problem)
        self.folder, self.mine = folder, mine


class RunLock:
    """The lock of one run folder; the kernel frees it when its owner dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: BaseFileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None and self._lock.is_locked

    def acquire(self) -> None:
        """Take the lock or refuse at once, with the process, host and time of the holder."""
        from filelock import FileLock, Timeout

        if self.held:
            return
        lock = FileLock(self.folder / LOCK, thread_local=False)
        for attempt in range(PATIENCE):
            try:
                with storage(self.folder / LOCK):
                    lock.acquire(timeout=0)
                break
            except EmomtlError as error:
                if not isinstance(error.__cause__, Timeout):  # Timeout is an OSError, so `storage` has named it already
                    raise
                if self._holder() or attempt == PATIENCE - 1:
                    raise self._in_use() from None
                time.sleep(MOMENT)
        self._lock = lock
        since = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            write_json(self.folder / HOLDER, {"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        except EmomtlError:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held, or where the folder has gone."""
        if self._lock is not None and self.held:
            with suppress(OSError):
                os.unlink(self.folder / HOLDER)
            self._lock.release()
        self._lock = None

    def _in_use(self) -> InUse:
        """The refusal, with who holds the lock where that is known."""
        holder = self._holder()
        who = "another process"
        if holder:
            who = f"process {holder['pid']} on {clean(str(holder['host']))} since {clean(str(holder['since']))}"
        remedy = "wait until it has finished or stop it, or choose another folder with --out"
        here = holder is not None and holder["host"] == socket.gethostname()
        mine = here and holder is not None and holder["pid"] == os.getpid()
        return InUse(self.folder, trouble(self.folder, f"in use by {who}", remedy), mine)

    def _holder(self) -> dict[str, Any] | None:
        """What the holder wrote; None while that is missing, damaged, or left over from a process that has died."""
        try:
            holder = read_json(self.folder / HOLDER)
        except EmomtlError:
            return None
        if not {"pid", "host", "since"} <= holder.keys():
            return None
        here = holder["host"] == socket.gethostname() and Path("/proc/self").exists()
        return None if here and not Path("/proc", str(holder["pid"])).exists() else holder

"""One process owns a run: a lock that dies with its owner, and who that owner is."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, clean
from emomtl.run.files import read_json, storage, trouble, write_json

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
HOLDER = ".lock-holder.json"


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
        try:
            with storage(self.folder / LOCK):
                lock.acquire(timeout=0)
        except EmomtlError as error:
            if isinstance(error.__cause__, Timeout):  # Timeout is an OSError, so `storage` has named it already
                raise self._in_use() from None
            raise
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

    def _in_use(self) -> EmomtlError:
        """The refusal; a holder that took the lock this instant gets a moment to write down who it is."""
        holder = self._holder()
        for _ in range(20):
            if holder:
                break
            time.sleep(0.02)
            holder = self._holder()
        who = "another process"
        if holder:
            who = f"process {holder['pid']} on {clean(str(holder['host']))} since {clean(str(holder['since']))}"
        remedy = "wait until it has finished or stop it, or choose another folder with --out"
        return EmomtlError(trouble(self.folder, f"in use by {who}", remedy))

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

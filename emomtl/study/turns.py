"""Studies that share a run take turns: one does it, the others wait, and find it done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError
from emomtl.run.lock import LOCK, STUDY_LOCK
from emomtl.safety.files import storage

if TYPE_CHECKING:
    from filelock import BaseFileLock

PAUSE = 0.5
"""Seconds between two tries for a run that another process is doing."""


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Inside, no other study does this run; waits while one does.

    The run's own lock is held while it trains alone. This one is held until test is scored too, so that two studies do not
    both score it. The kernel frees it when its owner dies, however it dies.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    while (lock := _taken(folder / STUDY_LOCK)) is None:
        time.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()


def wait_for(folder: Path) -> None:
    """Wait until no process trains this run."""
    while (lock := _taken(folder / LOCK)) is None:
        time.sleep(PAUSE)
    lock.release()


def is_taken(folder: Path) -> bool:
    """Whether another process does this run now, for a study or by `emomtl train`."""
    if not folder.is_dir():
        return False
    for name in (STUDY_LOCK, LOCK):
        if not (folder / name).exists():
            continue
        lock = _taken(folder / name)
        if lock is None:
            return True
        lock.release()
    return False


def _taken(path: Path) -> BaseFileLock | None:
    """The lock, held now; None where another has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    try:
        with storage(path):
            lock.acquire(timeout=0)
    except EmomtlError as error:
        if isinstance(error.__cause__, Timeout):  # an OSError, so `storage` has named it already
            return None
        raise
    return lock

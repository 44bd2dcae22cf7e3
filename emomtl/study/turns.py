"""Studies that share a run take turns: one does it, the others wait and find it done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emomtl.run.lock import LOCK, STUDY_LOCK, try_lock
from emomtl.safety.files import storage

PAUSE = 0.5
"""Seconds between two tries for a run that another process is doing."""


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Inside, no other study does this run; waits while one does.

    The run's own lock is held only while it trains. This one is held until test is scored, too, so
    that two studies do not both score it.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    while (lock := try_lock(folder / STUDY_LOCK)) is None:
        time.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()


def wait_for(folder: Path) -> None:
    """Wait until no process trains this run."""
    while (lock := try_lock(folder / LOCK)) is None:
        time.sleep(PAUSE)
    lock.release()


def is_taken(folder: Path) -> bool:
    """Whether another process does this run now, for a study or by `emomtl train`."""
    for path in (folder / STUDY_LOCK, folder / LOCK):
        if path.exists():
            lock = try_lock(path)
            if lock is None:
                return True
            lock.release()
    return False

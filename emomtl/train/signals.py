"""Ctrl-C, SIGTERM and a closed terminal end a run at the next step boundary; a second signal ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """The run was asked to stop; `code` is the exit code (128 and the number), `step` where it stands."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.code, self.step = number, 128 + number, step
        super().__init__(f"{signal.Signals(number).name} at step {step}; a checkpoint was written, `--resume` goes on from it")


class Signals:
    """While active, the first SIGINT, SIGTERM or SIGHUP is only remembered in `received`; the second ends the process.

    A SIGHUP that is ignored (`nohup`) stays so.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in _heard():
                self._before[number] = signal.signal(number, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal; the next one acts, even where the run was started with signals ignored (a shell's `&`, nohup)."""
        self.received = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, "SIGHUP") and signal.SIGHUP in self._before:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()


def _heard() -> list[signal.Signals]:
    """The signals that end a run in order."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers

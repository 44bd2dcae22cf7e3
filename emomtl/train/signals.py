"""Signals end a run at the next step boundary; a second one ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """The run was asked to stop; `code` is the exit code (128 + number), `step` where it stands."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.code, self.step = number, 128 + number, step
        name = signal.Signals(number).name
        super().__init__(
            f"{name} at step {step}; a checkpoint was written, `--resume` goes on from it"
        )


class Signals:
    """While active, the first SIGINT, SIGTERM or SIGHUP is only stored in `received`.

    The second ends the process. A SIGHUP that is ignored (`nohup`) stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        # Python allows signal handlers in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            for number in _handled_signals():
                self._handlers_before[number] = signal.signal(number, self._store)
        return self

    def _store(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        # The next signal has to act, even where the run was started with signals ignored
        # (a shell's `&`, nohup): the handlers are the defaults, not those from before.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, "SIGHUP") and signal.SIGHUP in self._handlers_before:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._handlers_before.clear()


def _handled_signals() -> list[signal.Signals]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers

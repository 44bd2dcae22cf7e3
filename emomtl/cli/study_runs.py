"""Do the runs of a study that are left, with a line for each that begins or ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.cli.output import say

if TYPE_CHECKING:
    from emomtl.errors import EmomtlError
    from emomtl.study import Ended, Executor, Job


class StudyLines:
    """Prints on stderr which run begins, which ends, and how long the others may take."""

    def __init__(self, run_count: int) -> None:
        self.run_count, self.ended_count, self.began = run_count, 0, time.monotonic()

    def begins(self, job: Job) -> None:
        """A run begins or goes on."""
        from emomtl.study import is_taken

        folder = Path(job.folder)
        if is_taken(folder):
            say(f"run {folder.name} is being done by another process: waiting for it")
        else:
            say(f"run {folder.name} begins")

    def ended(self, ended: Ended) -> None:
        """A run ended; prints how many have, and the time left."""
        self.ended_count += 1
        outcome = "is done" if ended.error is None else f"failed: {ended.error.problems[0]}"
        say(f"run {Path(ended.job.folder).name} {outcome}")
        line = f"{self.ended_count} of {self.run_count} over"
        if 0 < self.ended_count < self.run_count:
            # Each of the others is taken to need as long as these did.
            seconds_a_run = (time.monotonic() - self.began) / self.ended_count
            minutes = seconds_a_run * (self.run_count - self.ended_count) / 60
            line += f", about {minutes:.0f} min to go"
        say(line)


def do_runs(jobs: Sequence[Job], executor: str, workers: int) -> dict[str, EmomtlError]:
    """Do what is left of some jobs; returns the errors by key. A run that fails stops no other."""
    from emomtl.study import Ended, left_of

    left = left_of(jobs)
    say(f"{len(jobs)} runs: {len(jobs) - len(left)} done, {len(left)} to do")
    errors: dict[str, EmomtlError] = {}
    lines = StudyLines(len(left))
    with _exit_on_signals(), closing(_executor(executor, workers).run(left)) as events:
        for event in events:
            if not isinstance(event, Ended):
                lines.begins(event)
                continue
            lines.ended(event)
            if event.error is not None:
                errors[event.job.key] = event.error
    return errors


def _executor(name: str, workers: int) -> Executor:
    from emomtl.cli.progress import PlainDisplay
    from emomtl.study import InProcess, Processes, Ray

    if name == "processes":
        return Processes(workers)
    if name == "ray":
        return Ray(workers)
    return InProcess(PlainDisplay())


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the study with its runs, even after `&` in a script.

    A shell starts such a command with both ignored. SIGHUP, of a terminal that was closed, ends it
    too unless it is ignored: `nohup` means that the study goes on.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

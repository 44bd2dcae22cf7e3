"""What a study says while it works: a line for each run that begins or is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.cli.output import say

if TYPE_CHECKING:
    from emomtl.study import Ended, Job


class StudyLines:
    """Says on stderr which run begins, which is over, and how long the others may take."""

    def __init__(self, run_count: int) -> None:
        self.run_count, self.over, self.began = run_count, 0, time.monotonic()

    def begins(self, job: Job) -> None:
        """A run begins, or is gone on with."""
        from emomtl.study import is_taken

        folder = Path(job.folder)
        if is_taken(folder):
            say(f"run {folder.name} is being done by another process: waiting for it")
        else:
            say(f"run {folder.name} begins")

    def ended(self, ended: Ended) -> None:
        """A run is over; how many are, and the time left."""
        self.over += 1
        outcome = "is done" if ended.error is None else f"failed: {ended.error.problems[0]}"
        say(f"run {Path(ended.job.folder).name} {outcome}")
        time_left = self.time_left()
        say(f"{self.over} of {self.run_count} over{f', {time_left}' if time_left else ''}")

    def time_left(self) -> str:
        """As long as the runs so far took, for each that is left; "" before the first is over, and after the last."""
        if not 0 < self.over < self.run_count:
            return ""
        seconds_a_run = (time.monotonic() - self.began) / self.over
        return f"about {seconds_a_run * (self.run_count - self.over) / 60:.0f} min to go"

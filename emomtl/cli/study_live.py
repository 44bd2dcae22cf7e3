"""What a study shows while it works: a table of rows and seeds on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.cli.output import console, make_table, say

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from emomtl.study import Ended, Job, Standing, StudyPlan

EVERY = 2.0
"""Seconds between two looks at the runs' folders."""


class StudyLines:
    """A line for each run that begins or is over, on stderr."""

    def __init__(self, left: Sequence[Job]) -> None:
        self.left, self.over, self.began = left, 0, time.monotonic()

    def __enter__(self) -> StudyLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is to be closed."""

    def begins(self, job: Job) -> None:
        """A run begins, or is gone on with."""
        from emomtl.study import is_taken

        name = Path(job.folder).name
        if is_taken(Path(job.folder)):
            say(f"run {name} is being done by another process: waiting for it")
        else:
            say(f"run {name} begins")

    def ended(self, ended: Ended) -> None:
        """A run is over; how many are, and the time left."""
        self.count(ended)
        if ended.error is not None:
            say(f"run {Path(ended.job.folder).name} failed: {ended.error.problems[0]}")
        rest = self.time_left()
        say(f"{self.over} of {len(self.left)} over{f', {rest}' if rest else ''}")

    def count(self, ended: Ended) -> None:
        """One more is over."""
        self.over += 1

    def time_left(self) -> str:
        """As long as the runs so far took, for each that is left; nothing before the first is over, and after the last."""
        if not 0 < self.over < len(self.left):
            return ""
        rest = (time.monotonic() - self.began) / self.over * (len(self.left) - self.over)
        return f"about {rest / 60:.0f} min to go"


class StudyLive(StudyLines):
    """A table of rows and seeds that is drawn again and again, from the runs' folders."""

    def __init__(self, plan: StudyPlan, jobs: Sequence[Job], left: Sequence[Job]) -> None:
        from rich.live import Live

        from emomtl.study import Watch

        super().__init__(left)
        self.plan, self.watch = plan, Watch(plan, {job.key: job for job in jobs})
        self.failed: set[str] = set()
        self.at_work: set[str] = set()
        self.drawn: tuple[float, RenderableType | None] = (0.0, None)
        self.live = Live(console=console(stderr=True), get_renderable=self.table, refresh_per_second=2, transient=True)

    def __enter__(self) -> StudyLive:
        self.live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.live.stop()

    def begins(self, job: Job) -> None:
        """The table tells of it."""
        self.at_work.add(job.key)
        self.drawn = (0.0, None)

    def ended(self, ended: Ended) -> None:
        """The table tells of it; an error stands above the table too, with its remedy."""
        self.count(ended)
        self.at_work.discard(ended.job.key)
        self.drawn = (0.0, None)
        if ended.error is not None:
            self.failed.add(ended.job.key)
            self.live.console.print(f"run {Path(ended.job.folder).name} failed: {ended.error.problems[0]}", markup=False)

    def table(self) -> RenderableType:
        """The table, from a look that is at most `EVERY` seconds old."""
        at, kept = self.drawn
        if kept is None or time.monotonic() - at >= EVERY:
            kept = standings_table(self.plan, self.watch.look(), self.failed, self.at_work, self._title())
            self.drawn = (time.monotonic(), kept)
        return kept

    def _title(self) -> str:
        rest = self.time_left()
        return f"{self.plan.file.study.name}: {self.over} of {len(self.left)} over{f', {rest}' if rest else ''}"


def standings_table(
    plan: StudyPlan, found: Mapping[str, Standing], failed: Collection[str], at_work: Collection[str], title: str
) -> RenderableType:
    """A line a source and a row, a column a seed: how far each run is."""
    seeds = list(dict.fromkeys(run.seed for run in plan.runs))
    cells: dict[str, dict[int, str]] = {}
    for run in (*plan.sources, *plan.runs):
        told = _said(found[run.identity], run.identity in failed, run.identity in at_work)
        cells.setdefault(run.row, {})[run.seed] = told
    lines = [[row, *(told.get(seed, "") for seed in seeds)] for row, told in cells.items()]
    return make_table(title, ["row", *(f"seed {seed}" for seed in seeds)], lines)


def _said(one: Standing, failed: bool, at_work: bool) -> str:
    figure = "" if one.figure is None else f", {one.figure:.4f}"
    if failed:
        return f"failed at step {one.step:,}" if one.step else "failed"
    if one.state == "begun":
        steps = f"step {one.step:,}{f' of {one.total:,}' if one.total else ''}"
        return f"{'running' if at_work else 'stopped'}, {steps}{figure}"
    if one.state == "missing":
        return "begins" if at_work else "missing"
    return f"{'scoring test' if one.state == 'trained' and at_work else one.state}{figure}"


def study_display(plan: StudyPlan, jobs: Sequence[Job], left: Sequence[Job]) -> StudyLines:
    """A table where stdout and stderr are a terminal, lines elsewhere."""
    return StudyLive(plan, jobs, left) if sys.stdout.isatty() and sys.stderr.isatty() and left else StudyLines(left)

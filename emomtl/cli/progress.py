"""The progress of a run: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emomtl.cli.output import console, say
from emomtl.errors import clean
from emomtl.train.display import Display
from emomtl.train.state import State

if TYPE_CHECKING:
    from emomtl.metrics.scoring import TaskScores

SECONDS_BETWEEN_LINES = 10.0
"""Of `counting`, where it prints lines."""


class PlainDisplay(Display):
    """Prints a line on stderr for each thing that happens."""

    def __init__(self) -> None:
        self.examples, self.began = 0, time.monotonic()
        self.progress = 0.0
        # Progress and time after the first step of a phase, which is slower than the others.
        self.first_step: tuple[float, float] | None = None

    def line(self, text: str) -> None:
        """Print a line."""
        say(text)

    def note(self, line: str) -> None:
        """A line about the rows or the run."""
        self.line(f"note: {clean(line, 500)}")

    def phase(self, name: str) -> None:
        """The name of what begins."""
        say(f"{name} ...")
        self._begin()

    def _begin(self) -> None:
        self.examples, self.began = 0, time.monotonic()
        self.first_step = None

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """Count the examples, for the rate."""
        self.examples += examples
        self.progress = progress
        if self.first_step is None:
            self.first_step = (progress, time.monotonic())

    def logged(self, state: State, rate: float) -> None:
        """Step, share of the run, time left, examples a second, losses."""
        left = ""
        if self.first_step is not None:
            progress, moment = self.first_step
            done = self.progress - progress
            left = time_left(time.monotonic() - moment, done, 1 - self.progress)
        share = f"{self.progress:.0%}{f', {left} left' if left else ''}"
        say(f"step {state.step:,} ({share})  {self.rate()}  {losses(state)}")

    def evaluated(self, state: State, scores: Mapping[str, TaskScores], best: bool) -> None:
        """The main metric of every task; of several tasks also the value that chose the best."""
        line = f"step {state.step:,} validation  {main_metrics(scores)}"
        if best:
            has_value = len(scores) > 1 and state.best_value is not None
            line += f"  (best so far{f', by {state.best_value:.4f}' if has_value else ''})"
        self.line(line)

    def also_evaluated(self, state: State, weights: str, scores: Mapping[str, TaskScores]) -> None:
        """The main metric of every task, with the weights that do not choose the best."""
        self.line(f"step {state.step:,} validation  {main_metrics(scores)}  ({weights} weights)")

    def rate(self) -> str:
        """Labelled examples of all tasks a second, since the phase began."""
        seconds = max(1e-9, time.monotonic() - self.began)
        return f"{self.examples / seconds:.1f} examples/s"


class LiveDisplay(PlainDisplay):
    """A progress bar with losses and rate; notes and scores are printed above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        self.bar = Progress(*columns, console=console(stderr=True), transient=True)
        self.task: Any = None

    def __enter__(self) -> LiveDisplay:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(text, markup=False)

    def phase(self, name: str) -> None:
        """Begin a new bar; its length is known for training only."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(name, total=1.0 if name == "training" else None, text="")
        self._begin()

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """Move the bar."""
        super().stepped(state, progress, examples)
        text = f"step {state.step:,}  {self.rate()}  {losses(state)}"
        self.bar.update(self.task, completed=progress, text=text)

    def logged(self, state: State, rate: float) -> None:
        """Print nothing: the bar shows the losses."""


def losses(state: State) -> str:
    """The last logged loss of each task, in a line."""
    if not state.losses:
        return ""
    return "loss " + "  ".join(f"{task} {loss:.4f}" for task, loss in state.losses.items())


def main_metrics(scores: Mapping[str, TaskScores]) -> str:
    """The main metric of each task, in a line."""
    parts = []
    for task, task_scores in scores.items():
        metric = str(task_scores.facts.main_metric)
        value = task_scores.metrics.get(metric)
        parts.append(f"{task}/{metric} {'undefined' if value is None else f'{value:.4f}'}")
    return "  ".join(parts)


def make_display() -> PlainDisplay:
    """A bar if stderr is a terminal, else lines."""
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


def time_left(elapsed: float, done: float, left: float) -> str:
    """The time that work takes which is `left`, at the pace so far, as h:mm:ss.

    Empty before anything is done, and when nothing is left.
    """
    if done <= 0 or left <= 0:
        return ""
    minutes, seconds = divmod(round(elapsed * left / done), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


@contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that shows how many of all rows are done.

    It draws a bar on a terminal, and elsewhere prints a line every ten seconds.
    """
    if sys.stderr.isatty():
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        text = TextColumn(name, markup=False)
        columns = (text, BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    began = printed = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed >= SECONDS_BETWEEN_LINES and done < total:
            printed = now
            left = time_left(now - began, done, total - done)
            say(f"{name}: {done:,} of {total:,} rows ({done / total:.0%}), {left} left")

    yield show

"""What a training run shows while it works: a bar on a terminal, plain lines in a log."""

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


class PlainDisplay(Display):
    """One line for each thing that happens, on stderr."""

    def __init__(self) -> None:
        self.examples, self.began = 0, time.monotonic()
        self.progress = 0.0
        self.first_step: tuple[float, float] | None = None  # progress and time at the end of the phase's first step

    def note(self, line: str) -> None:
        """A line about the rows or the run."""
        say(f"note: {clean(line, 500)}")

    def phase(self, name: str) -> None:
        """The name of what begins."""
        say(f"{name} ...")
        self.examples, self.began = 0, time.monotonic()
        self.first_step = None

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """Count, for the rate."""
        self.examples += examples
        self.progress = progress
        if self.first_step is None:
            self.first_step = (progress, time.monotonic())

    def logged(self, state: State, rate: float) -> None:
        """Step, share of the run, losses, examples a second."""
        progress, began = self.first_step or (self.progress, 0.0)
        left = time_left(time.monotonic() - began, self.progress - progress, 1 - self.progress)
        say(f"step {state.step:,} ({self.progress:.0%}{f', {left} left' if left else ''})  {self.rates()}  {losses(state)}")

    def evaluated(self, state: State, scores: Mapping[str, TaskScores], best: bool) -> None:
        """The main figures of every task."""
        say(evaluation_line(state, scores, best))

    def also_evaluated(self, state: State, weights: str, scores: Mapping[str, TaskScores]) -> None:
        """The main figures of every task, with the other weights."""
        say(f"step {state.step:,} validation  {main_metrics(scores)}  ({weights} weights)")

    def rates(self) -> str:
        """Labelled examples of all tasks a second, since the phase began."""
        return f"{self.examples / max(1e-9, time.monotonic() - self.began):.1f} examples/s"


class LiveDisplay(PlainDisplay):
    """A progress bar with losses and rate; notes and scores stand above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        self.bar = Progress(*columns, console=console(stderr=True), transient=True)
        self.task: Any = None

    def __enter__(self) -> LiveDisplay:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def note(self, line: str) -> None:
        """A line above the bar."""
        self.bar.console.print(f"note: {clean(line, 500)}", markup=False)

    def phase(self, name: str) -> None:
        """A new bar; without a known length until training begins."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(name, total=1.0 if name == "training" else None, said="")
        self.examples, self.began = 0, time.monotonic()

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """Move the bar."""
        super().stepped(state, progress, examples)
        self.bar.update(self.task, completed=progress, said=f"step {state.step:,}  {self.rates()}  {losses(state)}")

    def logged(self, state: State, rate: float) -> None:
        """The bar shows the losses already."""

    def evaluated(self, state: State, scores: Mapping[str, TaskScores], best: bool) -> None:
        """A line above the bar."""
        self.bar.console.print(evaluation_line(state, scores, best), markup=False)

    def also_evaluated(self, state: State, weights: str, scores: Mapping[str, TaskScores]) -> None:
        """A line above the bar."""
        self.bar.console.print(f"step {state.step:,} validation  {main_metrics(scores)}  ({weights} weights)", markup=False)


def losses(state: State) -> str:
    """The last logged loss of each task."""
    return "loss " + "  ".join(f"{task} {loss:.4f}" for task, loss in state.losses.items()) if state.losses else ""


def evaluation_line(state: State, scores: Mapping[str, TaskScores], best: bool) -> str:
    """Each task's main metric; with several tasks also what the best checkpoint was chosen by."""
    chosen = f", by {state.best_value:.4f}" if len(scores) > 1 and state.best_value is not None else ""
    return f"step {state.step:,} validation  {main_metrics(scores)}{f'  (best so far{chosen})' if best else ''}"


def main_metrics(scores: Mapping[str, TaskScores]) -> str:
    """The main metric of each task, in a line."""
    parts = []
    for task, task_scores in scores.items():
        metric = str(task_scores.facts.main_metric)
        value = task_scores.metrics.get(metric)
        parts.append(f"{task}/{metric} {'undefined' if value is None else f'{value:.4f}'}")
    return "  ".join(parts)


def make_display() -> PlainDisplay:
    """A bar where stderr is a terminal, lines elsewhere."""
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


def time_left(elapsed: float, done: float, left: float) -> str:
    """About how long the rest of some work takes, as h:mm:ss, where it goes on as it did; empty where nothing tells."""
    if done <= 0 or left <= 0:
        return ""
    minutes, seconds = divmod(round(elapsed * left / done), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


EVERY = 10.0
"""Seconds between two lines about work that goes on."""


@contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """A function that shows how many of all rows are done: a bar on a terminal; elsewhere a line every ten seconds."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(name, markup=False), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    began = said = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= EVERY and done < total:
            said = now
            left = time_left(now - began, done, total - done)
            say(f"{name}: {done:,} of {total:,} rows ({done / total:.0%}), {left} left")

    yield line

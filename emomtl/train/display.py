"""What a run tells while it works: to people, to its log, and to listeners."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from emomtl.metrics.scoring import TaskScores
from emomtl.train.state import State

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins
    from emomtl.run import Run
    from emomtl.train.draw import Drawing

_NO_CONTEXT: AbstractContextManager[None] = nullcontext()


class Display:
    """Shows the progress of a run; this one shows nothing, the command line has others."""

    def note(self, line: str) -> None:
        """Show a line: what was counted, what differs from published numbers, what was skipped."""

    def phase(self, name: str) -> None:
        """A phase begins: reading, tokenising, training, scoring."""

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """A step was taken on so many labelled examples."""

    def logged(self, state: State, rate: float) -> None:
        """Losses were logged; `rate` is the learning rate as a part of its peak."""

    def evaluated(self, state: State, scores: Mapping[str, TaskScores], best: bool) -> None:
        """Validation was scored; with `best` this is the best checkpoint so far."""

    def also_evaluated(self, state: State, weights: str, scores: Mapping[str, TaskScores]) -> None:
        """The scores of the weights that do not choose the best checkpoint (`raw` or `ema`)."""


class Reporter:
    """Writes notes to the display and to `log.txt`, and emits events to listeners.

    `notes` are all lines so far. Of several processes only the first emits events.
    """

    def __init__(self, display: Display, run: Run, plugins: Plugins, first: bool = True) -> None:
        self.display, self.run, self.plugins, self.first = display, run, plugins, first
        self.notes: list[str] = []
        self._warned: set[str] = set()

    def note(self, line: str, kind: str = "note") -> None:
        """Write a line."""
        self.notes.append(line)
        self.display.note(line)
        self.run.log(f"{kind}: {line}")

    def warn_once(self, about: str, line: str) -> None:
        """Write a warning, unless there was one about the same thing."""
        if about not in self._warned:
            self._warned.add(about)
            self.note(line, "warning")

    def emit(self, event: str, **facts: Any) -> list[Any]:
        """Emit an event to the active plugins and return their answers.

        A plugin that takes much of the run's time is named once.
        """
        if not self.first:
            return []
        answers = self.plugins.emit(event, **facts)
        for line in self.plugins.events.new_slow_listeners():
            self.display.note(line)
            self.run.log(line)
        return answers


class Phases:
    """Marks phases of the loop: `with phases("forward"): ...`. This one measures nothing."""

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """The context of a phase."""
        return _NO_CONTEXT

    def saw(self, drawing: Drawing) -> None:
        """A step was taken on these rows."""

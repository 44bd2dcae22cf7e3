"""What a run tells while it works; the command line draws it, tests ignore it."""

from __future__ import annotations

from collections.abc import Mapping

from emomtl.metrics.scoring import TaskScores
from emomtl.train.state import State


class Display:
    """Hears what happens; this one says nothing."""

    def note(self, line: str) -> None:
        """Something worth a line: what was counted, what differs from what is published, what was skipped."""

    def phase(self, name: str) -> None:
        """A phase begins: reading, tokenising, training, scoring."""

    def stepped(self, state: State, progress: float, examples: int) -> None:
        """A step was taken with so many examples."""

    def logged(self, state: State, rate: float) -> None:
        """Losses were logged; `rate` is the learning rate's part of its peak."""

    def evaluated(self, state: State, scores: Mapping[str, TaskScores], best: bool) -> None:
        """Validation was scored; `best`: no checkpoint before was better, and `state.best_value` is what it was chosen by."""

    def also_evaluated(self, state: State, weights: str, scores: Mapping[str, TaskScores]) -> None:
        """What the other weights came to (`raw`, or `ema`), where an average is kept."""

"""What a sampler is: from the moment of a run to one probability for each task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Moment:
    """Where a run stands, as samplers and weightings may see it.

    - `step`: the optimiser steps so far; `progress`: from 0 to 1 over the run.
    - `epoch`: the passes over the training rows so far, counted in examples; `epochs`: the whole
      passes of the run.
    - `sizes`: the training rows of each task, in the manifest's order; `counts`: the examples that
      each has had.
    - `losses`: the last logged losses; `scores`: the last validation scores of each task, by
      metric; `evaluation`: the evaluations so far.
    - `joint`: whether every step trains every task (`sampler.per_step = "all"`).
    - `seed`: the run's.
    - `share`: the part of the step that this micro-batch is, 1 without accumulation; `parts`: the
      part of each task's known targets of the step that it has.
    - `ahead`: the losses of the whole step (scalar tensors, detached), for a weighting that
      `looks_ahead` in a step of several micro-batches.
    """

    step: int
    progress: float
    epoch: int
    epochs: int
    sizes: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    evaluation: int = 0
    joint: bool = False
    seed: int = 0
    share: float = 1.0
    parts: Mapping[str, float] = field(default_factory=dict)
    ahead: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the run, in the manifest's order."""
        return tuple(self.sizes)

    def part(self, task: str) -> float:
        """`parts` of a task, or `share`; it sums to 1 over the micro-batches of a step."""
        return self.parts.get(task, self.share)


class Sampler(ABC):
    """How often each task is trained; a dataclass whose fields are the options of `[sampler]`."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def probabilities(self, moment: Moment) -> Mapping[str, float]:
        """One number >= 0 for each task of `moment.sizes`, summing to 1.

        The function is pure: the same moment gives the same numbers.
        """

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run."""

    def check_length(self, passes: float) -> None:
        """Raise `EmomtlError` where a run of so many passes is too short for the options."""

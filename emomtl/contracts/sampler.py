"""What a sampler is: from the moment of a run to one probability per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Moment:
    """Where a run stands, as samplers and weightings may see it.

    `step` counts optimiser steps from 0; `progress` goes 0..1 over the run; `epoch` counts passes' worth of examples from 0, of
    `epochs` whole ones; `sizes` are training rows per task; `counts` the examples a task has had; `losses` the last logged,
    and `scores` the last validation scores per task; `evaluation` counts evaluations so far; `joint` tells whether every
    task is in every step; `seed` is the run's; `share` is this micro-batch's part of the step (1 without accumulation), and
    `parts` that of each task's known targets of the step; `ahead` are the losses of the whole step (scalar tensors, no gradient)
    for a weighting that `looks_ahead`, where the step has several micro-batches.
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
        """This micro-batch's part of the task's known targets of the step; over a step's micro-batches it sums to 1."""
        return self.parts.get(task, self.share)


class Sampler(ABC):
    """How often each task is trained; a dataclass whose fields are the options of `[sampler]`."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def probabilities(self, moment: Moment) -> Mapping[str, float]:
        """One number >= 0 for each task of `moment.sizes`, summing to 1; pure: the same moment gives the same numbers."""

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run (say, an unknown task's name)."""

    def check_length(self, passes: float) -> None:
        """Raise `EmomtlError` where a run of so many passes is too short for the options; asked where a run starts."""

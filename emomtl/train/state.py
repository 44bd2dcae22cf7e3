"""What a run carries from step to step beside tensors; it stands in every checkpoint."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter
from torch import Tensor

from emomtl.contracts.sampler import Moment

OPTIONAL_FIELDS = {"best_skills", "skipped", "cut", "task_best", "task_stale", "stopped_tasks"}
"""Fields that checkpoints of earlier versions of emomtl do not have."""

Value = TypeVar("Value")


@dataclass
class State:
    """Counters, and the losses and scores that samplers see.

    `counts` are labelled examples by task, `updates` the steps that trained a task, `positions` how
    far each stream of rows was read, `window` the losses since the last log (sum and number).
    `losses` are the last that were logged, `scores` those of the last evaluation.

    `best_value` is the value of `eval.select` at `best_step`, `best_skills` the skills by task that
    later evaluations are compared with, `stale` the evaluations without a gain. `task_best` and
    `task_stale` are the same for each task that has a patience; `stopped_tasks` are no longer
    trained, each with the step at which it stopped.

    Each of the manifest's micro-batches is cut into `cut` pieces, for want of memory. `skipped`
    counts steps that were not finite. `stopped` says why a run ended early, `finished` that it
    ended.
    """

    step: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    window: dict[str, tuple[float, int]] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    evaluation: int = 0
    best_step: int | None = None
    best_value: float | None = None
    best_skills: dict[str, float] | None = None
    stale: int = 0
    skipped: int = 0
    cut: int = 1
    task_best: dict[str, float] = field(default_factory=dict)
    task_stale: dict[str, int] = field(default_factory=dict)
    stopped_tasks: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None
    finished: bool = False

    @classmethod
    def fresh(cls, tasks: Iterable[str]) -> State:
        """The state before the first step."""
        names = list(tasks)
        return cls(counts=dict.fromkeys(names, 0), updates=dict.fromkeys(names, 0))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        """The inverse of `as_json`; ValueError where a field is missing or has another type."""
        names = {one.name for one in fields(cls)}
        if missing := sorted(names - OPTIONAL_FIELDS - data.keys()):
            raise ValueError(f"the state lacks {', '.join(missing)}")
        known = {key: value for key, value in data.items() if key in names}
        return TypeAdapter(cls).validate_python(known)

    def as_json(self) -> dict[str, Any]:
        """The state as JSON holds it; numbers come back exactly."""
        return asdict(self)

    def check(self, tasks: Collection[str], step: int) -> None:
        """Raise ValueError where this is not the state of a run of these tasks after `step`."""
        if self.step != step:
            raise ValueError(f"the state is of step {self.step}")
        if set(self.counts) != set(tasks) or set(self.updates) != set(tasks):
            expected = ", ".join(tasks)
            raise ValueError(
                f"the state counts examples and updates of other tasks than {expected}"
            )
        # A loss is named task, task/objective or task:raw; no task's name has either sign.
        names = {re.split("[/:]", name)[0] for name in (*self.window, *self.losses, *self.scores)}
        names |= {*self.task_best, *self.task_stale, *self.stopped_tasks}
        if unknown := sorted(names - set(tasks)):
            listed = ", ".join(unknown)
            raise ValueError(
                f"the state has losses or scores of {listed}, which the run does not train"
            )
        counters = [self.evaluation, self.stale, self.skipped, self.cut - 1]
        tables = (self.counts, self.updates, self.positions, self.task_stale, self.stopped_tasks)
        for table in tables:
            counters += table.values()
        counters += [number - 1 for _, number in self.window.values()]
        if min(counters) < 0 or not 0 <= (self.best_step or 0) <= step:
            raise ValueError("the state has a count that no run comes to")


class LossWindow:
    """The mean losses since the last log; sums stay on the device, so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._numbers: dict[str, int] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of one step, each a scalar."""
        for name, loss in losses.items():
            self._sums[name] = self._sums[name] + loss if name in self._sums else loss
            self._numbers[name] = self._numbers.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each loss over the steps that had it."""
        return {name: float(total) / self._numbers[name] for name, total in self._sums.items()}

    def totals(self) -> dict[str, tuple[float, int]]:
        """Sum and number of each loss, for a checkpoint."""
        return {name: (float(total), self._numbers[name]) for name, total in self._sums.items()}

    def restore(self, totals: Mapping[str, tuple[float, int]], device: str) -> None:
        """Go on with the `totals` of a checkpoint."""
        self._sums = {
            name: torch.tensor(total, device=device) for name, (total, _) in totals.items()
        }
        self._numbers = {name: number for name, (_, number) in totals.items()}

    def clear(self) -> None:
        """Begin anew, after a log."""
        self._sums, self._numbers = {}, {}


def without_stopped(moment: Moment, state: State) -> Moment:
    """The moment as a sampler sees it: without the tasks that have stopped.

    So sizes are shared among the tasks that are left, and a round goes over them alone.
    """
    if not state.stopped_tasks:
        return moment

    def trained(table: Mapping[str, Value]) -> dict[str, Value]:
        return {task: value for task, value in table.items() if task not in state.stopped_tasks}

    return replace(
        moment,
        sizes=trained(moment.sizes),
        counts=trained(moment.counts),
        losses=trained(moment.losses),
        scores=trained(moment.scores),
    )

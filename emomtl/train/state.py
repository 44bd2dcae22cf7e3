"""All that a run carries from step to step besides tensors; every checkpoint holds it, so that a resumed run is the same run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter

from emomtl.contracts.sampler import Moment

LATER = {"best_skills", "skipped", "cut", "task_best", "task_stale", "stopped_tasks"}
"""Facts that checkpoints lack which an earlier emomtl wrote."""

Value = TypeVar("Value")


@dataclass
class State:
    """Counters and last figures.

    `counts` are examples with a label that a task has had, `updates` the steps it took part in, `positions` how far each
    stream of rows was read, `window` the losses since the last log (sum and number). `best` and `stale` belong to the
    choice of a checkpoint: `best_value` is what `eval.select` names, `best_skills` what it is compared by, task for task.
    `cut` is into how many pieces each of the manifest's micro-batches is cut, for want of memory. `stopped` says
    why a run ended early, `finished` that it ended. `task_best` and `task_stale` are the best skill of each task that has
    a patience, and its evaluations since; `stopped_tasks` are those that are trained no more, with the step of that.
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
        """The state that `as_json` wrote; ValueError where it is none, or lacks a fact that every run has written."""
        known = {one.name for one in fields(cls)}
        if lacking := sorted(known - LATER - data.keys()):
            raise ValueError(f"the state lacks {', '.join(lacking)}")
        return TypeAdapter(cls).validate_python({key: value for key, value in data.items() if key in known})

    def check(self, tasks: Collection[str], step: int) -> None:
        """Raise ValueError where this cannot be the state of a run of these tasks after so many steps."""
        if self.step != step:
            raise ValueError(f"the state is of step {self.step}")
        if set(self.counts) != set(tasks) or set(self.updates) != set(tasks):
            raise ValueError(f"the state counts examples and updates of other tasks than {', '.join(tasks)}")
        # a task's own, an objective's (task/name), or a raw loss's (task:raw); no task's name has either sign
        named = {re.split("[/:]", name)[0] for name in (*self.window, *self.losses, *self.scores)}
        named |= {*self.task_best, *self.task_stale, *self.stopped_tasks}
        if strangers := sorted(named - set(tasks)):
            raise ValueError(f"the state has losses or scores of {', '.join(strangers)}, which the run does not train")
        counters = [self.evaluation, self.stale, self.skipped, self.cut - 1]
        tables = (self.counts, self.updates, self.positions, self.task_stale, self.stopped_tasks)
        counters += [count for table in tables for count in table.values()]
        counters += [number - 1 for _, number in self.window.values()]
        if min(counters) < 0 or not 0 <= (self.best_step or 0) <= step:
            raise ValueError("the state has a count that no run comes to")

    def as_json(self) -> dict[str, Any]:
        """The state as JSON holds it; numbers come back exactly."""
        return asdict(self)


def without_stopped(moment: Moment, state: State) -> Moment:
    """The moment as a sampler sees it: of the tasks that are still trained, as though there had never been others.

    So sizes are shared among those that are left, and a round goes over them alone.
    """
    if not state.stopped_tasks:
        return moment

    def left(table: Mapping[str, Value]) -> dict[str, Value]:
        return {task: value for task, value in table.items() if task not in state.stopped_tasks}

    return replace(
        moment,
        sizes=left(moment.sizes),
        counts=left(moment.counts),
        losses=left(moment.losses),
        scores=left(moment.scores),
    )

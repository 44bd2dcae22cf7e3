"""All that a run carries from step to step besides tensors; every checkpoint holds it, so that a resumed run is the same run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter


@dataclass
class State:
    """Counters and last figures.

    `counts` are examples with a label that a task has had, `updates` the steps it took part in, `positions` how far each
    stream of rows was read, `window` the losses since the last log (sum and number). `best` and `stale` belong to the
    choice of a checkpoint: `best_value` is what `eval.select` names, `best_skills` what it is compared by, task for task.
    `cut` is into how many pieces each of the manifest's micro-batches is cut, for want of memory. `stopped` says
    why a run ended early, `finished` that it ended.
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
    stopped: str | None = None
    finished: bool = False

    @classmethod
    def fresh(cls, tasks: Iterable[str]) -> State:
        """The state before the first step."""
        names = list(tasks)
        return cls(counts=dict.fromkeys(names, 0), updates=dict.fromkeys(names, 0))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        """The state that `as_json` wrote; ValueError where it is none."""
        known = {one.name for one in fields(cls)}
        return TypeAdapter(cls).validate_python({key: value for key, value in data.items() if key in known})

    def as_json(self) -> dict[str, Any]:
        """The state as JSON holds it; numbers come back exactly."""
        return asdict(self)

"""A task of a run with all that the run decides about it, and how rows are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from emomtl.contracts.sources import SPLITS
from emomtl.manifest import TaskTable

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head
    from emomtl.contracts.task import DerivedTask, Task, TaskFamily
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.located import Located

LeakPolicy = Literal["keep", "count", "drop"]
"""What becomes of training rows whose text is scored: nothing, they are counted or left out."""


@dataclass(frozen=True)
class BoundTask:
    """One task of a run: as its plugin declares it, with the manifest's head, source and numbers.

    `compose` makes it once, and it goes all the way: reading, training, evaluation.

    `located` is where its rows are; None in a finished run, until its rows are asked for. `source`
    is the manifest's own, or that of the task which it is derived from. `family` holds the task's
    options. `max_tokens` is the length at which its texts are read, where it is its own.
    """

    name: str
    task: Task
    head: Head
    table: TaskTable = field(default_factory=TaskTable)
    located: Located | None = None
    source: str | None = None
    family: TaskFamily | DerivedTask | None = None
    max_tokens: int | None = None

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The labels; None for regression, or while they are not yet learned from the rows."""
        return self.task.taxonomy

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the head gives for a text: its labels, or its numbers."""
        return self.head.outputs(self.taxonomy)

    @property
    def rows_source(self) -> Located:
        """Where its rows are. ValueError where the task was bound without looking for them."""
        if self.located is None:
            raise ValueError(f"task '{self.name}' was bound without its rows")
        return self.located

    @property
    def has_noisy_labels(self) -> bool:
        """Whether label noise, its own or that of another task, changes its training labels."""
        return bool(self.table.label_noise or self.table.label_noise_from)


@dataclass(frozen=True)
class ReadOptions:
    """How the rows of a run's tasks are read; the defaults are those of training.

    - `splits`: which splits are wanted.
    - `on_bad_row`: "stop" collects bad rows as errors, "skip" counts them.
    - `need_train`: whether a task without training rows is an error.
    - `leaks`: with "count" or "drop", training rows whose text stands in validation or test of any
      of the tasks are counted, or left out before `limit` chooses. Validation and test are read
      whole for that, whatever `splits` says.
    - `limited`: the splits in which a task's `limit` and `eval_limit` hold.
    - `label_noise`: whether a task's label noise changes its training labels; `seed` draws it.
    - `unseen_in`: splits in which a label that the task lacks counts as wrong, and is no bad row.
    - `recipes`: by task, all that its options and the code of its plugin decide about its rows.
      Rows of a task without one are not cached.
    - `note`: is told of trouble with the cache; without it the cache is not used.
    """

    splits: tuple[str, ...] = SPLITS
    on_bad_row: str = "stop"
    need_train: bool = True
    leaks: LeakPolicy = "keep"
    limited: tuple[str, ...] = ("train", "validation")
    label_noise: bool = True
    seed: int = 0
    unseen_in: tuple[str, ...] = ()
    recipes: Mapping[str, str] = field(default_factory=dict)
    note: Callable[[str], None] | None = None

    def limit(self, task: BoundTask, split: str) -> int | None:
        """The rows of a task's split that are kept at most; None where all are."""
        if split not in self.limited:
            return None
        limits = {"train": task.table.limit, "validation": task.table.eval_limit}
        return limits.get(split)

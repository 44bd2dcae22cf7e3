"""The kept answers of runs with the heads that gave them, at the level of labels and at each grouping, in a reader's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.answers.recorded import Recorded, recorded_tasks
from emomtl.contracts.analysis import WarningNote
from emomtl.errors import EmomtlError, clean
from emomtl.metrics.predictions import TaskPredictions
from emomtl.report.collect import RunResult
from emomtl.run import Run, open_which
from emomtl.run.answers import kept_answers, scored_own_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Grouping, Taxonomy

THRESHOLD = 0.5
"""From which probability on a label of several counts as answered here, as in `macro_f1`."""

NEEDS_CODE = "{name}: the answers of {tasks} are not shown: their head is a plugin file's, and a report runs none of a run's code"


MANY = 512
"""Labels from which on what takes a matrix of labels, or a search for each label, is bounded, or left out and said."""


@dataclass(frozen=True)
class Level:
    """Answers over the labels themselves (`grouping` is empty) or over a grouping; `groups` is each label's coarser name."""

    grouping: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    answers: TaskPredictions

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one label."""
        return bool(self.answers.targets.ndim == 1)

    def most(self, number: int) -> Level:
        """The labels with the most rows alone, in their order; for answers with several labels a row."""
        import numpy as np

        support = self.flags()[0].sum(axis=0)
        chosen = np.sort(np.argsort(-support, kind="stable")[:number])
        answers = TaskPredictions(self.answers.targets[:, chosen], self.answers.probabilities[:, chosen])
        names, groups = (tuple(one[i] for i in chosen) for one in (self.names, self.groups))
        return Level(self.grouping, names, groups, answers)

    def flags(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Which labels are true, which were answered, and of which it is known, each (n, L); unknown ones are neither."""
        import numpy as np

        targets, probabilities = self.answers.targets, self.answers.probabilities
        if self.exclusive:
            labels = np.arange(len(self.names))
            truth, decided = targets[:, None] == labels, probabilities.argmax(axis=1)[:, None] == labels
            return truth, decided, np.ones_like(truth)
        known = ~np.isnan(targets)
        return (np.where(known, targets, 0.0) >= THRESHOLD), (probabilities >= THRESHOLD) & known, known


@dataclass(frozen=True)
class Kept:
    """What the best checkpoint of a run answered for a task on a split; `validation` is for what is tuned, where it was kept.

    `drawn` is whether there are pictures of it, and not tables alone.
    """

    number: int
    run: str
    task: str
    split: str
    head: Head
    taxonomy: Taxonomy | None
    answers: TaskPredictions
    validation: TaskPredictions | None
    drawn: bool = True

    @property
    def where(self) -> str:
        """`validation (5,426 rows), best checkpoint of NAME`."""
        return f"{self.split} ({len(self.answers):,} rows), best checkpoint of {self.run}"

    def named(self, level: Level) -> str:
        """The task, with the grouping where the level is one."""
        return f"{self.task}/{level.grouping}" if level.grouping else self.task

    def levelled(self, level: Level) -> str:
        """The same for the name of a file."""
        return f"{self.task}-by-{level.grouping}" if level.grouping else self.task

    def levels(self) -> list[Level]:
        """The labels, ordered by the finest grouping, and each grouping; nothing where the answers are no labels."""
        if self.head.answers != "labels" or self.taxonomy is None:
            return []
        finest = max(self.taxonomy.groupings, key=lambda one: len(one.names), default=None)
        levels = [_ordered(self.taxonomy, finest, self.answers)]
        for grouping in self.taxonomy.groupings:
            folded = TaskPredictions(*self.head.fold(self.answers.targets, self.answers.probabilities, grouping, self.taxonomy))
            levels.append(Level(grouping.name, grouping.names, ("",) * len(grouping.names), folded))
        return levels


def _ordered(taxonomy: Taxonomy, grouping: Grouping | None, answers: TaskPredictions) -> Level:
    """The labels with those of a group beside each other."""
    import numpy as np

    parents = grouping.parents if grouping is not None else dict.fromkeys(taxonomy.names, "")
    rank = {name: place for place, name in enumerate(grouping.names)} if grouping is not None else {"": 0}
    order = sorted(range(len(taxonomy)), key=lambda place: rank[parents[taxonomy.names[place]]])
    names = tuple(taxonomy.names[place] for place in order)
    targets = answers.targets
    targets = np.argsort(order)[targets] if targets.ndim == 1 else targets[:, order]
    return Level("", names, tuple(parents[name] for name in names), TaskPredictions(targets, answers.probabilities[:, order]))


def kept_of(results: Sequence[RunResult], split: str) -> tuple[list[Kept], list[str]]:
    """Every task's kept answers on a split, and in words what is not there; a run that cannot be opened is told of, not fatal."""
    found: list[Kept] = []
    notes: list[str] = []
    for number, result in enumerate(results, start=1):
        if result.baseline or not any(_is_shown(result, entry, split) for entry in result.evaluations):
            if not result.baseline:
                notes.append(f"{result.name}: `emomtl eval {result.folder} --split {split}` keeps what is shown here")
            continue
        try:
            shown, lacking = _of_run(number, result, split)
            found += shown
            notes += [NEEDS_CODE.format(name=result.name, tasks=", ".join(map(clean, lacking)))] if lacking else []
        except EmomtlError as error:
            notes.append(WarningNote(f"{result.name}: its answers cannot be shown: {error.problems[0].found}"))
    return found, notes


def _is_shown(result: RunResult, entry: Mapping[str, Any], split: str) -> bool:
    """Whether an evaluation kept answers to the run's own rows of a split."""
    own = (scored_own_rows(result.environment, entry, task) for task in entry["tasks"])
    return entry["split"] == split and "answers" in entry and any(own)


def _of_run(number: int, result: RunResult, split: str) -> tuple[list[Kept], list[str]]:
    """The kept answers of a run, and its tasks whose answers need the code of a plugin file to be read."""
    run = Run.open(result.folder)
    checkpoint = open_which(run, "best")
    tasks, lacking = recorded_tasks(run, checkpoint)
    if lacking and not run.plugin_files:
        # installed plugins are the reader's own, and may be asked; a run's plugin files are not run here
        tasks, lacking = _tasks_by_plugins(result), []
    found = []
    for task, (head, taxonomy) in tasks.items():
        read = {one: kept_answers(run, one, checkpoint.path.name, task) for one in ("validation", split)}
        mine, tuned_on = read[split], read["validation"]
        if mine is not None and len(mine[0]) and head.answers != "nothing":
            validation = TaskPredictions(*tuned_on) if tuned_on is not None else None
            found.append(Kept(number, result.name, task, split, head, taxonomy, TaskPredictions(*mine), validation))
    return found, lacking


def _tasks_by_plugins(result: RunResult) -> dict[str, Recorded]:
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins

    opened = open_run(result.folder, "best", Plugins.discover())
    return {task: (bound.head, bound.taxonomy) for task, bound in opened.plan.tasks.items()}

"""The kept predictions of runs with the heads that gave them, by label and at each grouping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.answers.recorded import Recorded, recorded_tasks
from emomtl.contracts.analysis import WarningNote
from emomtl.errors import EmomtlError, clean
from emomtl.metrics.predictions import TaskPredictions
from emomtl.report.collect import RunResult
from emomtl.run import Run, open_which
from emomtl.run.predictions import recorded_predictions, scored_own_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Grouping, Taxonomy

THRESHOLD = 0.5
"""The probability from which one of several labels counts as predicted here, as in `macro_f1`."""

MANY = 512
"""Labels from which on matrices of labels, or a search for each label, are bounded or left out."""


@dataclass(frozen=True)
class Level:
    """Predictions over the labels (`grouping` is empty) or over a grouping.

    `groups` is each label's coarser name.
    """

    grouping: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    answers: TaskPredictions

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one label."""
        return bool(self.answers.targets.ndim == 1)

    def most(self, number: int) -> Level:
        """Only the labels with the most rows, in their order; for several labels a row."""
        support = self.flags()[0].sum(axis=0)
        chosen = np.sort(np.argsort(-support, kind="stable")[:number])
        targets, probabilities = self.answers.targets, self.answers.probabilities
        answers = TaskPredictions(targets[:, chosen], probabilities[:, chosen])
        names = tuple(self.names[place] for place in chosen)
        return Level(self.grouping, names, tuple(self.groups[i] for i in chosen), answers)

    def flags(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Which labels are true, predicted, and known, each (n, L); unknown ones are neither."""
        targets, probabilities = self.answers.targets, self.answers.probabilities
        if self.exclusive:
            labels = np.arange(len(self.names))
            truth = targets[:, None] == labels
            predicted = probabilities.argmax(axis=1)[:, None] == labels
            return truth, predicted, np.ones_like(truth)
        known = ~np.isnan(targets)
        truth = np.where(known, targets, 0.0) >= THRESHOLD
        return truth, (probabilities >= THRESHOLD) & known, known


@dataclass(frozen=True)
class Kept:
    """What the best checkpoint of a run predicted for a task on a split.

    `validation` has the predictions that thresholds are tuned on, where they were kept. `drawn` is
    whether there are pictures of it, and not tables alone.
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

    def named(self, level: Level, separator: str = "/") -> str:
        """The task, with the grouping where the level is one."""
        return f"{self.task}{separator}{level.grouping}" if level.grouping else self.task

    def levels(self) -> list[Level]:
        """The labels, ordered by the finest grouping, and each grouping; none without labels."""
        if self.head.answers != "labels" or self.taxonomy is None:
            return []
        groupings = self.taxonomy.groupings
        finest = max(groupings, key=lambda grouping: len(grouping.names), default=None)
        levels = [_ordered(self.taxonomy, finest, self.answers)]
        targets, probabilities = self.answers.targets, self.answers.probabilities
        for grouping in groupings:
            folded = self.head.fold(targets, probabilities, grouping, self.taxonomy)
            no_groups = ("",) * len(grouping.names)
            level = Level(grouping.name, grouping.names, no_groups, TaskPredictions(*folded))
            levels.append(level)
        return levels


def _ordered(taxonomy: Taxonomy, grouping: Grouping | None, answers: TaskPredictions) -> Level:
    """The labels with those of a group beside each other."""
    parents = [grouping.parents[name] if grouping else "" for name in taxonomy.names]
    groups = list(grouping.names) if grouping else [""]
    order = sorted(range(len(taxonomy)), key=lambda place: groups.index(parents[place]))
    targets = answers.targets
    targets = np.argsort(order)[targets] if targets.ndim == 1 else targets[:, order]
    return Level(
        "",
        tuple(taxonomy.names[place] for place in order),
        tuple(parents[place] for place in order),
        TaskPredictions(targets, answers.probabilities[:, order]),
    )


def kept_of(results: Sequence[RunResult], split: str) -> tuple[list[Kept], list[str]]:
    """Every task's kept predictions on a split, and notes on what is missing.

    A run that cannot be opened has a note, too.
    """
    kept: list[Kept] = []
    notes: list[str] = []
    for number, result in enumerate(results, start=1):
        if result.baseline:
            continue
        if not any(_has_predictions(result, entry, split) for entry in result.evaluations):
            command = f"`emomtl eval {result.folder} --split {split}`"
            notes.append(f"{result.name}: {command} keeps what is shown here")
            continue
        try:
            of_run, lacking = _of_run(number, result, split)
        except EmomtlError as error:
            found = error.problems[0].found
            notes.append(WarningNote(f"{result.name}: its answers cannot be shown: {found}"))
            continue
        kept += of_run
        if lacking:
            notes.append(
                f"{result.name}: the answers of {', '.join(map(clean, lacking))} are not shown: "
                "their head is a plugin file's, and a report runs none of a run's code"
            )
    return kept, notes


def _has_predictions(result: RunResult, entry: Mapping[str, Any], split: str) -> bool:
    """Whether an evaluation kept predictions for the run's own rows of a split."""
    if entry["split"] != split or "answers" not in entry:
        return False
    return any(scored_own_rows(result.environment, entry, task) for task in entry["tasks"])


def _of_run(number: int, result: RunResult, split: str) -> tuple[list[Kept], list[str]]:
    """The kept predictions of a run, and the tasks that need the code of a plugin file."""
    run = Run.open(result.folder)
    checkpoint = open_which(run, "best")
    tasks, lacking = recorded_tasks(run, checkpoint)
    if lacking and not run.plugin_files:
        # Installed plugins are the reader's own and may be asked; a run's plugin files are not run.
        tasks, lacking = _tasks_by_plugins(result), []
    kept = []
    for task, (head, taxonomy) in tasks.items():
        predicted = recorded_predictions(run, split, checkpoint.path.name, task)
        if predicted is None or not len(predicted[0]) or head.answers == "nothing":
            continue
        tuned_on = recorded_predictions(run, "validation", checkpoint.path.name, task)
        validation = TaskPredictions(*tuned_on) if tuned_on is not None else None
        answers = TaskPredictions(*predicted)
        of_task = (number, result.name, task, split, head, taxonomy)
        kept.append(Kept(*of_task, answers, validation))
    return kept, lacking


def _tasks_by_plugins(result: RunResult) -> dict[str, Recorded]:
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins

    opened = open_run(result.folder, "best", Plugins.discover())
    return {task: (bound.head, bound.taxonomy) for task, bound in opened.plan.tasks.items()}

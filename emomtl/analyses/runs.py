"""Runs as an analysis reads them: opened one after the other, over the same texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.contracts.analysis import Predictions
from emomtl.contracts.sources import SPLITS, stable_fraction
from emomtl.errors import EmomtlError, Problem, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.corpus import CorpusSplit, TaskData
    from emomtl.inference.opened import OpenedRun
    from emomtl.inference.trained import TrainedRun
    from emomtl.plugins.discovery import Plugins

CHECKPOINT = "`best`, `last`, or a step that was kept."
TASK = "The task that is looked at; else the first that all runs have."
SPLIT = "`validation`, `test` or `train`."
LOOK_AT_TEST = "This was a look at test, and scores.json does not count it: choose nothing by it."


def option(default: Any, description: str, metavar: str | None = None) -> Any:
    """A field of an analysis, with the help of its command-line option."""
    return field(default=default, metadata={"description": description, "metavar": metavar})


@dataclass(frozen=True)
class RunFolders:
    """The runs of an analysis (see `emomtl.Runs`), and where their rows are read.

    `sources` are places of rows by task, for those runs that have the task.
    """

    folders: Sequence[Path]
    sources: Mapping[str, str] = field(default_factory=dict)
    allow_changed: bool = False
    device: str = "auto"
    trust_plugins: bool | Collection[str] = False
    say: Callable[[str], None] = lambda line: None

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[RunFolder]:
        places = zip(self.folders, self.names, strict=True)
        return (RunFolder(folder, name, self) for folder, name in places)

    @cached_property
    def names(self) -> list[str]:
        """The runs' names; runs of one name have their folder beside it."""
        from emomtl.run import Run

        names = [Run.open(folder).name for folder in self.folders]
        places = zip(names, self.folders, strict=True)
        return [f"{name} ({place})" if names.count(name) > 1 else name for name, place in places]

    def check_sources(self) -> None:
        """Raise `EmomtlError` for a source of a task that no run has."""
        tasks = [task for run in self for task in run.tasks]
        for task in self.sources:
            if task not in tasks:
                found = f"'{task}' is no task of these runs"
                raise EmomtlError(Problem("--source", found, suggest(task, tasks)))

    def check_corpora(self) -> None:
        """Raise `EmomtlError` where a corpus is missing or is not the one that a run was trained
        on.
        """
        self.check_sources()
        for run in self:
            run.opened().check_corpora(run.sources, self.allow_changed)

    def shared_task(self, wanted: str | None) -> str:
        """The task that is wanted, else the first run's first with labels that all runs have.

        Read from the manifests alone. EmomtlError where there is no such task.
        """
        if not self.folders:
            raise EmomtlError(Problem("RUN", "no run is given", "name at least one run directory"))
        tables = [run.tasks for run in self]
        for folder, tasks in zip(self.folders, tables, strict=True):
            if wanted is not None and wanted not in tasks:
                found = f"'{wanted}' is no task of {folder}"
                raise EmomtlError(Problem("--task", found, suggest(wanted, tasks)))
        if wanted is not None:
            return wanted
        for name, table in tables[0].items():
            has_labels = table.head is None or table.head.use != "regression"
            if has_labels and all(name in tasks for tasks in tables):
                return name
        found = "the runs share no task with labels"
        raise EmomtlError(Problem("RUN", found, "compare runs that were trained on one task"))


@dataclass(frozen=True)
class RunFolder:
    """One run of an analysis (see `emomtl.AnalysedRun`)."""

    folder: Path
    name: str
    runs: RunFolders

    @property
    def tasks(self) -> Mapping[str, Any]:
        """The `[tasks.NAME]` tables of the run's manifest."""
        from emomtl.run import Run

        return Run.open(self.folder).manifest.tasks

    @property
    def sources(self) -> dict[str, str]:
        """The sources of tasks that this run has."""
        return {task: place for task, place in self.runs.sources.items() if task in self.tasks}

    def plugins(self) -> Plugins:
        """The installed plugins, found anew: each run may bring its own copy of a plugin file."""
        from emomtl.plugins.discovery import Plugins

        return Plugins.discover(self.runs.trust_plugins)

    def opened(self, checkpoint: str = "best") -> OpenedRun:
        """The run with a checkpoint, without its model."""
        from emomtl.inference.opened import open_run

        return open_run(self.folder, checkpoint, self.plugins())

    def trained(self, checkpoint: str = "best") -> TrainedRun:
        """The run with the model of a checkpoint on the device."""
        from emomtl.inference.trained import open_trained

        return open_trained(self.folder, checkpoint, self.plugins(), self.runs.device)

    def read(self, trained: OpenedRun, split: str, tasks: Collection[str] = ()) -> TaskData:
        """The rows of a split of all tasks, or of those named.

        EmomtlError where the corpus is not the one that the run was trained on, unless allowed.
        """
        check_split(split)
        return trained.read_split(split, tasks, self.sources, self.runs.allow_changed)

    def read_training(self, trained: OpenedRun, task: str) -> TaskData:
        """A task's training and validation rows as the run had them, limits and leaks included."""
        return trained.read_as_trained(task, self.sources, self.runs.allow_changed)

    def predictions(
        self, split: str, checkpoint: str = "best", task: str | None = None
    ) -> dict[str, Predictions]:
        """What a checkpoint predicts on a split, by task; of one task where it is named."""
        trained = self.trained(checkpoint)
        data = self.read(trained, split, [task] if task is not None else ())
        made = {}
        for name, (targets, probabilities) in predict_split(trained, data, split).items():
            bound, corpus = trained.plan.tasks[name], data.corpus(name)
            rows, texts = corpus.rows[name, split], corpus.splits[split].texts
            with_target = rows.index[bound.head.present(rows.targets)]
            made[name] = Predictions(
                bound.head.outputs(bound.taxonomy),
                targets,
                probabilities,
                [texts[row] for row in with_target],
                corpus.sensitive or bound.task.sensitive,
            )
        return made


def check_split(split: str) -> None:
    """Raise `EmomtlError` for a split that does not exist."""
    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"'{split}' is no split", suggest(split, SPLITS)))


def about_run(trained: TrainedRun) -> str:
    """What a run is, in words: its tasks, step, seed and encoder."""
    manifest = trained.plan.manifest
    tasks, step = ", ".join(trained.plan.tasks), trained.checkpoint.step
    return f"{tasks}; step {step:,}, seed {manifest.seed}, {manifest.encoder.use}"


def predict_split(
    trained: TrainedRun, data: TaskData, split: str
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Targets (n, ...) and probabilities (n, L) of the rows with a target, by task."""
    tokens = trained.corpus_tokens(data)
    return trained.evaluator.evaluate(trained.tasks(), data, tokens, split).predictions


def lowest_hashes(texts: CorpusSplit, rows: NDArray[np.int64], limit: int, seed: int) -> Any:
    """The places in `rows` (n,) of those `limit` texts whose hash is lowest, in order.

    A text's hash depends on itself and the seed alone, so all runs take the same texts.
    """
    if len(rows) <= limit:
        return np.arange(len(rows))
    hashes = np.array([stable_fraction(texts.texts[row], seed) for row in rows])
    return np.sort(np.argsort(hashes, kind="stable")[:limit])


def take(texts: CorpusSplit, rows: NDArray[np.int64]) -> CorpusSplit:
    """Only these rows of a split."""
    pairs = [texts.pairs[row] for row in rows] if texts.pairs is not None else None
    return replace(
        texts, keys=texts.keys[rows], texts=[texts.texts[row] for row in rows], pairs=pairs
    )


def same_texts(one: CorpusSplit, other: CorpusSplit) -> bool:
    """Whether two splits have the same texts in the same order."""
    return list(one.texts) == list(other.texts) and one.pairs == other.pairs


def labelled_task(trained: OpenedRun, task: str) -> tuple[Head, Taxonomy]:
    """Head and labels of a task; EmomtlError for one without labels."""
    bound = trained.tasks([task])[task]
    if bound.taxonomy is None or bound.head.answers != "labels":
        found = f"'{task}' answers without labels"
        raise EmomtlError(Problem("--task", found, "name a task with labels"))
    return bound.head, bound.taxonomy


@dataclass
class FirstRun:
    """The labels and texts of the first run, which those of every other run must equal.

    Differences between runs are paired by text, so they mean nothing over other texts.
    """

    task: str
    split: str
    folder: Path | None = None
    labels: tuple[str, ...] = ()
    texts: CorpusSplit | None = None
    targets: Any = None

    def require_same(
        self, folder: Path, labels: Sequence[str], texts: CorpusSplit, targets: Any
    ) -> None:
        """Remember the first run; `EmomtlError` for one with other labels, texts or targets."""
        if self.texts is None:
            self.folder, self.labels = folder, tuple(labels)
            self.texts, self.targets = texts, targets
            return
        if self.labels != tuple(labels):
            found = f"its labels of '{self.task}' are not those of {self.folder}"
            remedy = "compare runs whose task has the same labels"
            raise EmomtlError(Problem(str(folder), found, remedy))
        if not same_texts(self.texts, texts) or not _equal(self.targets, targets):
            found = f"its texts of '{self.task}' in {self.split} are not those of {self.folder}"
            remedy = f"name one place for all runs: --source {self.task}=PATH"
            raise EmomtlError(Problem(str(folder), found, remedy))


def _equal(one: Any, other: Any) -> bool:
    """Whether targets are equal: lists of labels, or arrays in which unknown ones are NaN."""
    if isinstance(one, list):
        return bool(one == other)
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))

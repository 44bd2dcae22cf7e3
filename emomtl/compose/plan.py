"""What composing gives: a plan of a run, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.encoder_change import EncoderChange
from emomtl.contracts.feature import Feature
from emomtl.contracts.heads import Head
from emomtl.contracts.objective import Objective
from emomtl.contracts.sampler import Sampler
from emomtl.contracts.task import DerivedTask, Task, TaskFamily
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.contracts.weighting import Weighting
from emomtl.data.locate import Located
from emomtl.manifest import Manifest, TaskTable
from emomtl.metrics.scoring import metric_names
from emomtl.metrics.selection import selection_in_words
from emomtl.model.loaded import EncoderChoice

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


DEFAULT_EPOCHS = 3
"""Passes of a run whose manifest gives no length."""


@dataclass(frozen=True)
class BoundTask:
    """One task of a run: as its plugin declares it, with the manifest's head, source and numbers."""

    name: str
    task: Task
    head: Head
    table: TaskTable
    located: Located | None
    source: str | None = None
    family: TaskFamily | DerivedTask | None = None

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The labels; None for regression, or while they are not yet learned from the rows."""
        return self.task.taxonomy

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the head gives for a text: its labels, or its numbers."""
        return self.head.outputs(self.taxonomy)

    def figures(self) -> list[str]:
        """The names of the figures that scoring the task will give."""
        taxonomy = self.taxonomy
        if taxonomy is None and self.head.answers == "labels":  # learned from the rows later; its names change no figure's name
            taxonomy = Taxonomy(["one", "other"])
        return metric_names(self.head, taxonomy)


@dataclass(frozen=True)
class BoundObjective:
    """One objective of a run: the task whose texts it learns from, and what its loss is multiplied by."""

    name: str
    task: str
    weight: float
    objective: Objective


@dataclass(frozen=True)
class Start:
    """The run that another starts from: its folder, which of its checkpoints, and whether heads are taken over too."""

    folder: Path
    checkpoint: str
    heads: bool
    weights: str | None = None


@dataclass(frozen=True)
class BoundFeature:
    """One feature of a run: its name there, the name of its kind, the task that it learns from and in how many folds, itself."""

    name: str
    use: str
    of: str
    folds: int
    feature: Feature


@dataclass(frozen=True)
class Before:
    """The run that has to come before another: its plan, the stage's name, and what the other takes over of it."""

    plan: Plan
    stage: str
    checkpoint: str
    heads: bool


@dataclass(frozen=True)
class Plan:
    """A run with every name resolved; `manifest` is complete: each option stands in it with its value.

    `start` is the run whose encoder it begins with, where it does; `before` the run that has to be made first.
    """

    manifest: Manifest
    folder: Path
    tasks: Mapping[str, BoundTask]
    sampler: Sampler
    weighting: Weighting
    encoder: EncoderChoice
    plugins: Plugins
    changes: tuple[EncoderChange, ...] = ()
    objectives: Mapping[str, BoundObjective] = field(default_factory=dict)
    features: Mapping[str, BoundFeature] = field(default_factory=dict)
    start: Start | None = None
    before: Before | None = None

    @property
    def selection_in_words(self) -> str:
        """What chooses the best checkpoint, for people."""
        return selection_in_words(str(self.manifest.eval.select), {name: bound.head for name, bound in self.tasks.items()})

    @property
    def ties(self) -> dict[str, str]:
        """The tasks that answer with another task's head, and whose."""
        return {name: bound.table.tie for name, bound in self.tasks.items() if bound.table.tie is not None}

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Every token that one of the tasks keeps whole, each once."""
        return tuple(dict.fromkeys(token for bound in self.tasks.values() for token in bound.task.special_tokens))

    @property
    def per_task(self) -> bool:
        """Whether the encoder answers each task in its own way, so that a text is encoded once for each of its tasks."""
        return any(change.per_task for change in self.changes)

    def with_taxonomies(self, taxonomies: Mapping[str, Taxonomy | None]) -> Plan:
        """The plan with the labels that were learned from rows, written into the manifest as `learned_labels`.

        They do not become `options.labels`: labels that a user lists decide how numbers read, and these must not.
        """
        tasks, tables = dict(self.tasks), dict(self.manifest.tasks)
        for name, bound in self.tasks.items():
            taxonomy = taxonomies.get(name)
            if bound.taxonomy is not None or taxonomy is None:
                continue
            tasks[name] = replace(bound, task=replace(bound.task, taxonomy=taxonomy))
            tables[name] = tables[name].model_copy(update={"learned_labels": taxonomy.names})
        return replace(self, tasks=tasks, manifest=self.manifest.model_copy(update={"tasks": tables}))

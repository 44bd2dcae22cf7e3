"""What composing gives: a plan of a run, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.encoder_change import EncoderChange
from emomtl.contracts.feature import Feature
from emomtl.contracts.objective import Objective
from emomtl.contracts.sampler import Sampler
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.contracts.weighting import Weighting
from emomtl.data.bound_task import BoundTask
from emomtl.manifest import Manifest
from emomtl.metrics.selection import selection_in_words
from emomtl.model.loaded import EncoderChoice

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


DEFAULT_EPOCHS = 3
"""Passes of a run whose manifest gives no length."""


@dataclass(frozen=True)
class BoundObjective:
    """One objective of a run: the task whose texts it learns from, and what its loss is times."""

    name: str
    task: str
    weight: float
    objective: Objective


@dataclass(frozen=True)
class BoundFeature:
    """One feature of a run: the name of its kind (`use`), and the task that it learns from."""

    name: str
    use: str
    of: str
    folds: int
    feature: Feature


@dataclass(frozen=True)
class Start:
    """The run that another starts from: its folder, which checkpoint, and whether heads, too."""

    folder: Path
    checkpoint: str
    heads: bool
    weights: str | None = None


@dataclass(frozen=True)
class Before:
    """The run that has to come before another: its plan, its stage, and what is taken over."""

    plan: Plan
    stage: str
    checkpoint: str
    heads: bool


@dataclass(frozen=True)
class Plan:
    """A run with every name resolved; `manifest` is complete: each option stands in it.

    `start` is the run whose encoder it begins with, where it does; `before` the run that has to be
    made first.
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
        heads = {name: task.head for name, task in self.tasks.items()}
        return selection_in_words(str(self.manifest.eval.select), heads)

    @property
    def ties(self) -> dict[str, str]:
        """The tasks that answer with another task's head, and whose."""
        tied = {}
        for name, task in self.tasks.items():
            if task.table.tie is not None:
                tied[name] = task.table.tie
        return tied

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Every token that one of the tasks keeps whole, each once."""
        tokens: dict[str, None] = {}
        for task in self.tasks.values():
            tokens.update(dict.fromkeys(task.task.special_tokens))
        return tuple(tokens)

    @property
    def per_task(self) -> bool:
        """Whether the encoder has parts for each task, so that it reads a text once per task."""
        return any(change.per_task for change in self.changes)

    def with_taxonomies(self, taxonomies: Mapping[str, Taxonomy | None]) -> Plan:
        """The plan with labels that were learned from rows, in the manifest as `learned_labels`.

        They do not become `options.labels`: labels that a user lists decide how numbers read, and
        these must not.
        """
        tasks, tables = dict(self.tasks), dict(self.manifest.tasks)
        for name, task in self.tasks.items():
            taxonomy = taxonomies.get(name)
            if task.taxonomy is None and taxonomy is not None:
                tasks[name] = replace(task, task=replace(task.task, taxonomy=taxonomy))
                learned = {"learned_labels": taxonomy.names}
                tables[name] = tables[name].model_copy(update=learned)
        manifest = self.manifest.model_copy(update={"tasks": tables})
        return replace(self, tasks=tasks, manifest=manifest)

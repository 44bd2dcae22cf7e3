"""From a study to its runs: a complete manifest, an identity and a folder for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from emomtl.compose import Plan, compose_file, updates_over_stages
from emomtl.contracts.heads import Head
from emomtl.contracts.sources import Source
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.shared_source import sources_for_all
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import apply_overrides, parts_of
from emomtl.metrics.scoring import metric_names
from emomtl.metrics.selection import MEAN
from emomtl.metrics.tuning import tuned_metric, tuned_names
from emomtl.plugins.discovery import Plugins
from emomtl.safety.files import storage, write_bytes
from emomtl.study.identity import Identities
from emomtl.study.models import RowTable, SourceTable
from emomtl.study.reading import StudyFile, laid_over

IDENTITY = 12
"""Digits of an identity in a folder's name."""

ANY_LABELS = Taxonomy(["one", "other"])
"""Where a head's metrics are listed: their names do not depend on the labels' names."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study; `after` is the identity of the run that it starts from."""

    row: str
    seed: int
    target: str
    manifest: Path
    identity: str
    folder: Path
    updates: int | None
    after: str | None = None


@dataclass(frozen=True)
class Scoring:
    """What a row is scored by: a task, its head, and a metric. Only rows of one `name` are
    compared.
    """

    target: str
    head: Head
    metric: str

    @property
    def untuned(self) -> str:
        """The metric without the way in which thresholds are tuned for it."""
        return tuned_metric(self.metric)[0]

    @property
    def way(self) -> str | None:
        """How each run tunes thresholds for the metric on its validation rows; None for other
        metrics.
        """
        return tuned_metric(self.metric)[1] if self.head.by_thresholds else None

    @cached_property
    def tuned(self) -> str | None:
        """The metric at tuned thresholds; None where the head has none, or the metric is one
        itself.
        """
        at_any_threshold = self.metric.partition("_at_")[0]  # macro_f1 for macro_f1_at_0.3
        tuned = f"{at_any_threshold}_tuned"
        if tuned in tuned_names(self.head, ANY_LABELS):
            return tuned
        return None

    @property
    def name(self) -> str:
        """Task and metric, such as `goemotions/macro_f1`."""
        return f"{self.target}/{self.metric}"

    @property
    def less_is_better(self) -> bool:
        """Whether the metric is an error."""
        return self.head.less_is_better(self.metric)


@dataclass(frozen=True)
class StudyPlan:
    """All runs of a study, what each row is scored by, and the folder that the study writes into.

    `runs` are those of the rows, `sources` those that exist only to be started from. `rates` say
    what was tried and chosen for each row on validation; None where that was not asked for.
    """

    file: StudyFile
    folder: Path
    scoring: Mapping[str, Scoring]
    runs: tuple[PlannedRun, ...]
    sources: tuple[PlannedRun, ...] = ()
    rates: Mapping[str, Any] | None = None

    @property
    def tuned(self) -> bool:
        """Whether the table has a row for the reference with tuned thresholds.

        It has one for a target that is scored at a threshold of 0.5 on test.
        """
        study, scoring = self.file.study, self.scoring[self.file.reference]
        return study.tuned and study.test and scoring.tuned == f"{scoring.metric}_tuned"

    def of(self, row: str) -> list[PlannedRun]:
        """The runs of a row, by seed."""
        return [run for run in self.runs if run.row == row]


@dataclass(frozen=True)
class StudyRequest:
    """A study to be planned in a folder, with its runs below `runs`.

    `overrides` (KEY=VALUE) are laid over every row and source; `sources` say where a task's rows
    are, in the runs that have the task.
    """

    file: StudyFile
    folder: Path
    runs: Path
    plugins: Plugins
    overrides: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def plan_study(
    request: StudyRequest, rates: Mapping[str, Mapping[str, float]] | None = None
) -> StudyPlan:
    """Compose every run and write its manifest below the folder.

    Two rows with equal complete manifests are one run, and are refused where they are compared with
    each other. Where `equal_updates` holds, a row must give the target as many updates as the row
    that it is compared with: `[scales.NAME] updates` sets them for all. A run that another one
    starts from need not exist: its folder follows from its identity. `rates` are parts of `[train]`
    by row, chosen on validation. EmomtlError with everything that is wrong with any row.
    """
    file = request.file
    planner = Planner(request, request.folder, rates or {})
    runs = planner.plan()
    problems = list(planner.problems)
    problems = problems or planner.unknown_sources() + _incomparable(file, planner.scoring)
    problems = problems or same_runs(file, runs, planner.scoring)
    if not problems and file.study.equal_updates:
        problems = _unequal(file, runs)
    if problems:
        raise EmomtlError(*problems)
    return StudyPlan(file, request.folder, planner.scoring, tuple(runs), planner.source_runs())


@dataclass
class Planner:
    """Plans runs, each after the one that it starts from; collects scorings and problems.

    Manifests are written below `folder`. `rates` are parts of `[train]` by row; `trial_seeds` stand
    in place of every row's own seeds.
    """

    request: StudyRequest
    folder: Path
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trial_seeds: tuple[int, ...] | None = None
    problems: list[Problem] = field(default_factory=list)
    scoring: dict[str, Scoring] = field(default_factory=dict)
    _runs: dict[tuple[str, int], PlannedRun] = field(default_factory=dict)
    _tasks: set[str] = field(default_factory=set)
    _used_sources: set[str] = field(default_factory=set)
    _identities: Identities = field(default_factory=Identities)
    _folders: dict[str, Path] = field(default_factory=dict)

    @property
    def file(self) -> StudyFile:
        """The study."""
        return self.request.file

    @cached_property
    def _tables(self) -> dict[str, RowTable | SourceTable]:
        return {table.name: table for table in self.file.every()}

    def plan(self) -> list[PlannedRun]:
        """The runs of all rows by seed; of a row that cannot be planned only the first ones."""
        with storage(self.folder):
            (self.folder / "manifests").mkdir(parents=True, exist_ok=True)
        runs = []
        for row in self.file.rows():
            try:
                for seed in self._seeds(row):
                    runs.append(self._run(row, seed))
            except EmomtlError as error:
                for problem in error.problems:
                    if problem not in self.problems:
                        self.problems.append(problem)
        return runs

    def source_runs(self) -> tuple[PlannedRun, ...]:
        """The runs of sources, which rows start from."""
        sources = {source.name for source in self.file.study.sources}
        return tuple(run for run in self._runs.values() if run.row in sources)

    def unknown_sources(self) -> list[Problem]:
        """What `--source` names and no run has."""
        problems = []
        for name in self.request.sources:
            if name not in self._used_sources:
                found = f"'{clean(name)}' is no task of the study's runs"
                problems.append(Problem("--source", found, suggest(name, self._tasks)))
        return problems

    def _seeds(self, row: RowTable) -> tuple[int, ...]:
        return self.file.seeds(row) if self.trial_seeds is None else self.trial_seeds

    def _run(self, table: RowTable | SourceTable, seed: int) -> PlannedRun:
        """One run, after the one that it starts from is planned."""
        if (table.name, seed) in self._runs:
            return self._runs[table.name, seed]
        before = None
        if table.after is not None:
            before = self._run(self._before(table, seed), seed)
        name = f"{_slug(table.name)}-seed{seed}"
        path = self.folder / "manifests" / f"{name}.toml"
        data = self._data(table, seed, name)
        if before is not None:
            data["start"] = {"run": str(before.folder.resolve())}
        plan = self._compose(path, data)
        train = plan.manifest.train
        if isinstance(table, RowTable):
            target = self.file.target(table)
            if target in plan.tasks and self._selects_nothing(plan, data):
                # A row is judged by its target, so the target chooses the row's best checkpoint.
                select = f"{target}/{plan.tasks[target].head.main_metric}"
                plan = self._compose(path, laid_over(data, {"eval": {"select": select}}))
            self.scoring[table.name] = _scoring(self.file, table, plan)
            updates = updates_over_stages(plan, target)
        else:
            target, updates = train.target or "", train.target_updates
        after = None if before is None else before.identity
        digest = self._identities.of(plan, after)
        if digest not in self._folders:
            new = self.request.runs / f"{name}-{digest[:IDENTITY]}"
            self._folders[digest] = _existing(self.request.runs, digest) or new
        place = self._folders[digest]
        run = PlannedRun(table.name, seed, target, path, digest, place, updates, after)
        self._runs[table.name, seed] = run
        return run

    def _compose(self, path: Path, data: Mapping[str, Any]) -> Plan:
        write_bytes(path, tomli_w.dumps(data).encode())
        return compose_file(path, [], self.request.plugins)

    @staticmethod
    def _selects_nothing(plan: Plan, data: Mapping[str, Any]) -> bool:
        return plan.manifest.eval.select == MEAN and "select" not in data.get("eval", {})

    def _before(self, table: RowTable | SourceTable, seed: int) -> RowTable | SourceTable:
        """The row or source that one starts after; a row needs a run of that seed itself."""
        assert table.after is not None
        before = self._tables[table.after]
        if isinstance(before, RowTable) and seed not in self._seeds(before):
            pair = f"'{clean(table.name)}' starts after '{clean(before.name)}'"
            found = f"{pair}, which has no run with seed {seed}"
            remedy = "give both the same `seeds`"
            raise EmomtlError(Problem("rows", found, remedy, str(self.file.path)))
        return before

    def _data(self, table: RowTable | SourceTable, seed: int, name: str) -> dict[str, Any]:
        """A run's manifest as data.

        The base, then the scale, the row, the overrides, then what the study itself gives: sources,
        length, rates, name and seed.
        """
        data = self.file.manifest(table)
        overrides = self.request.overrides
        if isinstance(table, SourceTable):
            # what is set for a task of the rows would give a source that task
            tasks = (None, *data.get("tasks", {}))
            overrides = [override for override in overrides if _task_of(override) in tasks]
        data, problems = apply_overrides(data, overrides)
        if problems:
            raise EmomtlError(*problems)
        for task, source in self._sources(data).items():
            data = laid_over(data, {"tasks": {task: {"source": source}}})
        updates = self.file.scale.updates
        if isinstance(table, RowTable) and updates is not None:
            train = {"target": self.file.target(table), "target_updates": updates}
            for key, value in data.get("train", {}).items():
                if key not in ("epochs", "steps"):
                    train.setdefault(key, value)
            data["train"] = train
        if table.name in self.rates:
            data = laid_over(data, {"train": self.rates[table.name]})
        folder = str(self.file.folder(table))
        return {**data, "name": name, "seed": seed, "folder": folder}

    def _sources(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Where a run's tasks have their rows, by `--source`: of a task, what it uses, or its
        corpus.
        """
        tables: dict[str, Mapping[str, Any]] = {}
        for task, table in data.get("tasks", {}).items():
            if isinstance(table, Mapping):
                tables[task] = table
        self._tasks |= set(tables)
        sources = dict(self.request.sources)
        for task, table in tables.items():
            used = table.get("use", task)
            if task not in sources and used in sources:
                sources[task] = sources[used]
        if not sources:
            return {}
        layouts = {task: self._layouts(task, table) for task, table in tables.items()}
        others = {}
        for name in self.request.sources:
            if name not in tables:
                others[name] = self._layouts(name, {})
        placed = sources_for_all(sources, layouts, others)
        for name, source in self.request.sources.items():
            if source in placed.values():
                self._used_sources.add(name)
        return placed

    def _layouts(
        self, name: str, table: Mapping[str, Any]
    ) -> tuple[tuple[Source, ...], str | None]:
        """The file layouts of a task by its name, and its own source.

        Without layouts, and with a mark of its own, where they are not known before it is composed.
        """
        try:
            offered = self.request.plugins.offer("task", table.get("use", name)).value
            if isinstance(offered, type):
                offered = offered(**table.get("options", {})).task()
        # wrong options are reported where the run is composed; a derived task has no layouts
        except (EmomtlError, TypeError, ValueError, AttributeError):
            return (), f"{name}\0"
        return offered.layouts, table.get("source")


def _task_of(override: str) -> str | None:
    """The task whose table an override changes; None for another key."""
    first, *others = parts_of(override.partition("=")[0].strip())
    return str(others[0]) if first == "tasks" and others else None


def _scoring(file: StudyFile, row: RowTable, plan: Plan) -> Scoring:
    """What a row is scored by; EmomtlError where its runs lack the task, or the head the metric."""
    target, metric = file.target(row), file.metric(row)
    if target not in plan.tasks:
        found = f"'{clean(target)}' is no task of the runs"
        raise EmomtlError(Problem("target", found, suggest(target, plan.tasks)))
    bound = plan.tasks[target]
    tuned = tuned_names(bound.head, bound.taxonomy or ANY_LABELS)
    known = [
        *metric_names(bound.head, bound.taxonomy),
        *(name for name in tuned if "/" not in name),
    ]
    if metric is not None and metric not in known:
        found = f"'{target}' has no figure '{clean(metric)}'"
        raise EmomtlError(Problem("metric", found, suggest(metric, known)))
    return Scoring(target, bound.head, metric or bound.head.main_metric)


def _incomparable(file: StudyFile, scoring: Mapping[str, Scoring]) -> list[Problem]:
    """Rows that are compared with one that has another metric."""
    problems = []
    for row, other in file.against().items():
        if other is not None and scoring[row].name != scoring[other].name:
            own = f"'{clean(row)}' is scored by {scoring[row].name}"
            found = f"{own}, '{clean(other)}' by {scoring[other].name}"
            remedy = "compare rows with one figure, or leave `against` out"
            problems.append(Problem("rows", found, remedy, str(file.path)))
    return problems


def same_runs(
    file: StudyFile, runs: Sequence[PlannedRun], scoring: Mapping[str, Scoring]
) -> list[Problem]:
    """Rows whose runs are those of the row that they are compared with, and rows that stand twice.

    Their difference is 0 whatever is true. One run may be two rows that have different metrics, or
    that are compared with different rows.
    """
    against = file.against()
    identities = {(run.row, run.seed): run.identity for run in runs}
    first: dict[tuple[str, str, str | None], str] = {}
    pairs: list[tuple[str, str]] = []
    for run in runs:
        other = against[run.row]
        if other is not None and identities.get((other, run.seed)) == run.identity:
            pairs.append((other, run.row))
            continue
        twin = first.setdefault((run.identity, scoring[run.row].name, other), run.row)
        if twin != run.row:
            pairs.append((twin, run.row))
    remedy = (
        "let them differ: what the base has already, a row need not add; a row drops a task of the "
        "base by `tasks.TASK.trained = false` in its manifest"
    )
    problems = []
    for one, two in dict.fromkeys(pairs):
        found = f"'{clean(one)}' and '{clean(two)}' are the same run"
        problems.append(Problem("rows", found, remedy, str(file.path)))
    return problems


def _unequal(file: StudyFile, planned: Sequence[PlannedRun]) -> list[Problem]:
    """Comparisons in which the target does not get a stated and equal number of updates."""
    against, problems = file.against(), []
    for reference, other in against.items():
        if other is not None and reference not in against.values():
            continue
        runs = {}
        for run in planned:
            if reference in (run.row, against[run.row]):
                runs[run.row, run.updates] = run
        updates = {run.updates for run in runs.values()}
        if len(updates) == 1 and None not in updates:
            continue
        stated = {run.row: f"{run.row}: {run.updates or 'not stated'}" for run in runs.values()}
        target = next(iter(runs.values())).target
        found = f"the target '{target}' gets unequal updates ({', '.join(stated.values())})"
        remedy = (
            "give [scales.NAME] updates = N, or the base `train.target` and `train.target_updates`,"
            " or equal_updates = false, or compare a row with another one (`against`)"
        )
        problems.append(Problem("rows", found, remedy, str(file.path)))
    return problems


def _existing(runs: Path, digest: str) -> Path | None:
    """The folder of a run with this identity, whatever study and row made it."""
    return min(runs.glob(f"*-{digest[:IDENTITY]}"), default=None)


def _slug(name: str) -> str:
    """A row's name as a file and a manifest may be called."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.+_")[:60] or "row"

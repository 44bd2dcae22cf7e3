"""From a study to its runs: a complete manifest for each row and seed, an identity, and a folder that studies share."""

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
from emomtl.study.reading import StudyFile

IDENTITY = 12
"""Digits of an identity in a folder's name."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its row, seed and target, its manifest's file, its identity (SHA-256) and its folder.

    `after` is the identity of the run that it starts from.
    """

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
    """What a row is scored by: a task, its head, and a figure. Rows are compared with the reference where `name` is its own."""

    target: str
    head: Head
    metric: str

    @property
    def untuned(self) -> str:
        """The metric without the way in which thresholds are tuned for it."""
        return tuned_metric(self.metric)[0]

    @property
    def way(self) -> str | None:
        """How thresholds are tuned for the metric, in each run on its own validation rows; None for any other metric."""
        return tuned_metric(self.metric)[1] if self.head.by_thresholds else None

    @cached_property
    def tuned(self) -> str | None:
        """The metric of the same name at thresholds tuned on validation; None where the head has none, or this is one."""
        taxonomy = Taxonomy(["one", "other"])  # its names change no metric's name
        at_any_threshold = self.metric.partition("_at_")[0]  # such as macro_f1 for macro_f1_at_0.3
        tuned = f"{at_any_threshold}_tuned"
        return tuned if tuned in tuned_names(self.head, taxonomy) else None

    @property
    def name(self) -> str:
        """Task and figure, such as `goemotions/macro_f1`."""
        return f"{self.target}/{self.metric}"

    @property
    def less_is_better(self) -> bool:
        """Whether the figure is an error."""
        return self.head.less_is_better(self.metric)


@dataclass(frozen=True)
class StudyPlan:
    """All runs of a study, what each row is scored by, and where the study writes.

    `runs` are those of the rows; `sources` those that are only there to be started from. `rates` say what was tried and
    chosen for each row on validation; None where rows have the rates of their manifests.
    """

    file: StudyFile
    folder: Path
    scoring: Mapping[str, Scoring]
    runs: tuple[PlannedRun, ...]
    sources: tuple[PlannedRun, ...] = ()
    rates: Mapping[str, Any] | None = None

    @property
    def tuned(self) -> bool:
        """Whether the table has a row for the reference with tuned thresholds: a target that is scored at 0.5 on test."""
        study, scoring = self.file.study, self.scoring[self.file.reference]
        return study.tuned and study.test and scoring.tuned == f"{scoring.metric}_tuned"

    def of(self, row: str) -> list[PlannedRun]:
        """The runs of a row, by seed."""
        return [run for run in self.runs if run.row == row]


def plan_study(
    file: StudyFile,
    folder: Path,
    runs: Path,
    plugins: Plugins,
    overrides: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
    rates: Mapping[str, Mapping[str, float]] | None = None,
) -> StudyPlan:
    """Compose every run and write its manifest under `folder`; EmomtlError with everything that is wrong with any row.

    `overrides` (KEY=VALUE) are laid over every row and source; `sources` say where a task's rows are, in the runs that have the
    task. Two rows with equal complete manifests are one run, and are refused where they are compared with each other. Where
    `equal_updates` holds, a row must give the target as many updates as the row that it is compared with: `[scales.NAME]
    updates` sets them for all. A run that another one starts from need not be there yet: its folder follows from its identity.
    `rates` are parts of `[train]` by row, chosen on validation.
    """
    planner = Planner(file, folder, runs, plugins, overrides, sources or {}, rates=rates or {})
    with storage(folder):
        (folder / "manifests").mkdir(parents=True, exist_ok=True)
    planned = [run for row in file.rows() for run in planner.row(row)]
    problems = planner.problems or planner.unplaced() + _incomparable(file, planner.scoring)
    problems += [] if problems else same_runs(file, planned, planner.scoring)
    if not problems and file.study.equal_updates:
        problems += _unequal(file, planned)
    if problems:
        raise EmomtlError(*problems)
    only_started = tuple(run for (name, _), run in planner.found.items() if name in planner.sources)
    return StudyPlan(file, folder, planner.scoring, tuple(planned), only_started)


@dataclass
class Planner:
    """Plans runs, each after the one that it starts from; remembers them by row and seed, and all problems.

    `rates` are parts of `[train]` by row; `trial_seeds` stand in place of every row's own seeds.
    """

    file: StudyFile
    folder: Path
    runs: Path
    plugins: Plugins
    overrides: Sequence[str]
    places: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    scoring: dict[str, Scoring] = field(default_factory=dict)
    found: dict[tuple[str, int], PlannedRun] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trial_seeds: tuple[int, ...] | None = None
    _identities: Identities = field(default_factory=Identities)
    _folders: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def sources(self) -> dict[str, SourceTable]:
        """The sources by name."""
        return {one.name: one for one in self.file.study.sources}

    @cached_property
    def rows(self) -> dict[str, RowTable]:
        """The rows by name."""
        return {one.name: one for one in self.file.rows()}

    def row(self, row: RowTable) -> list[PlannedRun]:
        """The runs of a row by seed; none after the first that cannot be planned."""
        planned: list[PlannedRun] = []
        for seed in self._seeds(row):
            try:
                planned.append(self._run(row, seed))
            except EmomtlError as error:
                self.problems += [problem for problem in error.problems if problem not in self.problems]
                break
        return planned

    def _seeds(self, row: RowTable) -> tuple[int, ...]:
        return self.file.seeds(row) if self.trial_seeds is None else self.trial_seeds

    def _run(self, of: RowTable | SourceTable, seed: int) -> PlannedRun:
        """One run, and before it the one that it starts from."""
        if (of.name, seed) in self.found:
            return self.found[of.name, seed]
        before = None if of.after is None else self._run(self._before(of, seed), seed)
        slug = _slug(of.name)
        path = self.folder / "manifests" / f"{slug}-seed{seed}.toml"
        data = self._data(of, seed, f"{slug}-seed{seed}")
        if before is not None:
            data["start"] = {"run": str(before.folder.resolve())}
        write_bytes(path, tomli_w.dumps(data).encode())
        plan = compose_file(path, [], self.plugins)
        if isinstance(of, RowTable) and plan.manifest.eval.select == MEAN and "select" not in data.get("eval", {}):
            # A row is judged by its target, so the target chooses the row's best checkpoint where nothing else is asked for.
            target = self.file.target(of)
            if target in plan.tasks:
                data["eval"] = {**data.get("eval", {}), "select": f"{target}/{plan.tasks[target].head.main_metric}"}
                write_bytes(path, tomli_w.dumps(data).encode())
                plan = compose_file(path, [], self.plugins)
        train = plan.manifest.train
        target = self.file.target(of) if isinstance(of, RowTable) else train.target or ""
        if isinstance(of, RowTable):
            self.scoring[of.name] = _scoring(self.file, of, plan)
        updates = train.target_updates if isinstance(of, SourceTable) else updates_over_stages(plan, target)
        digest = self._identities.of(plan, None if before is None else before.identity)
        place = _existing(self.runs, digest) or self.runs / f"{slug}-seed{seed}-{digest[:IDENTITY]}"
        place = self._folders.setdefault(digest, place)
        after = None if before is None else before.identity
        run = PlannedRun(of.name, seed, target, path, digest, place, updates, after)
        self.found[of.name, seed] = run
        return run

    def _sources(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Where a run's tasks have their rows, as `--source` says it for them, for what they use, or for their corpus."""
        tables = {task: table for task, table in data.get("tasks", {}).items() if isinstance(table, Mapping)}
        self.tasks |= set(tables)
        given = dict(self.places)
        for task, table in tables.items():
            if task not in given and (used := table.get("use", task)) in given:
                given[task] = given[used]
        if not given:
            return {}
        reads = {task: self._reads(task, table) for task, table in tables.items()}
        known = {name: self._reads(name, {}) for name in self.places if name not in tables}
        found = sources_for_all(given, reads, known)
        taken = set(found.values())
        self.placed |= {name for name, place in self.places.items() if place in taken}
        return found

    def _reads(self, name: str, table: Mapping[str, Any]) -> tuple[tuple[Source, ...], str | None]:
        """The layouts of a task, by its name; none, with a mark of its own, where they cannot be told before it is composed."""
        own = table.get("source")
        try:
            offered = self.plugins.offer("task", table.get("use", name)).value
            if isinstance(offered, type):
                offered = offered(**table.get("options", {})).task()
        except (EmomtlError, TypeError, ValueError, AttributeError):  # said where the run is composed; a derived task has none
            return (), f"{name}\0"
        return offered.layouts, own

    def unplaced(self) -> list[Problem]:
        """What `--source` names and no run has."""
        return [
            Problem("--source", f"'{clean(name)}' is no task of the study's runs", suggest(name, self.tasks))
            for name in self.places
            if name not in self.placed
        ]

    def _before(self, of: RowTable | SourceTable, seed: int) -> RowTable | SourceTable:
        """The row or source that one starts after; a row needs a run of that seed itself."""
        assert of.after is not None
        if of.after in self.sources:
            return self.sources[of.after]
        row = self.rows[of.after]
        if seed not in self._seeds(row):
            found = f"'{clean(of.name)}' starts after '{clean(row.name)}', which has no run with seed {seed}"
            raise EmomtlError(Problem("rows", found, "give both the same `seeds`", str(self.file.path)))
        return row

    def _data(self, of: RowTable | SourceTable, seed: int, name: str) -> dict[str, Any]:
        """A run's manifest as data: the base, then the scale, the row, the overrides, then what the study itself gives."""
        data = self.file.manifest(of)
        overrides = self.overrides
        if isinstance(of, SourceTable):  # what a row's task is given would give a source that task
            overrides = [one for one in overrides if _task_of(one) in (None, *data.get("tasks", {}))]
        data, problems = apply_overrides(data, overrides)
        if problems:
            raise EmomtlError(*problems)
        for task, source in self._sources(data).items():
            data["tasks"] = {**data["tasks"], task: {**data["tasks"][task], "source": source}}
        if isinstance(of, RowTable) and self.file.scale.updates is not None:
            length = {"target": self.file.target(of), "target_updates": self.file.scale.updates}
            kept = {key: value for key, value in data.get("train", {}).items() if key not in ("epochs", "steps")}
            data["train"] = {**kept, **length}
        if of.name in self.rates:
            data["train"] = {**data.get("train", {}), **self.rates[of.name]}
        return {**data, "name": name, "seed": seed, "folder": str(self.file.folder(of))}


def _task_of(override: str) -> str | None:
    """The task whose table an override changes."""
    first, *rest = parts_of(override.partition("=")[0].strip())
    return str(rest[0]) if first == "tasks" and rest else None


def _scoring(file: StudyFile, row: RowTable, plan: Plan) -> Scoring:
    """The head of a row's target, and the figure."""
    target, metric = file.target(row), file.metric(row)
    if target not in plan.tasks:
        raise EmomtlError(Problem("target", f"'{clean(target)}' is no task of the runs", suggest(target, plan.tasks)))
    bound = plan.tasks[target]
    taxonomy = bound.taxonomy or Taxonomy(["one", "other"])  # its names change no metric's name
    tuned = [name for name in tuned_names(bound.head, taxonomy) if "/" not in name]
    known = [*metric_names(bound.head, bound.taxonomy), *tuned]
    if metric is not None and metric not in known:
        raise EmomtlError(Problem("metric", f"'{target}' has no figure '{clean(metric)}'", suggest(metric, known)))
    return Scoring(target, bound.head, metric or bound.head.main_metric)


def _incomparable(file: StudyFile, scoring: Mapping[str, Scoring]) -> list[Problem]:
    """Rows that stand against one with another figure."""
    return [
        Problem(
            "rows",
            f"'{clean(row)}' is scored by {scoring[row].name}, '{clean(other)}' by {scoring[other].name}",
            "compare rows with one figure, or leave `against` out",
            str(file.path),
        )
        for row, other in file.against().items()
        if other is not None and scoring[row].name != scoring[other].name
    ]


def same_runs(file: StudyFile, planned: list[PlannedRun], scoring: Mapping[str, Scoring]) -> list[Problem]:
    """Rows that are the same run as the one that they stand against, whose difference is 0 whatever is true, and rows twice.

    One run may be two rows that are scored by different figures, or that stand against different rows.
    """
    against = file.against()
    runs = {(run.row, run.seed): run.identity for run in planned}
    first: dict[tuple[str, str, str | None], str] = {}
    same: dict[tuple[str, str], None] = {}
    for run in planned:
        other = against[run.row]
        if other is not None and runs.get((other, run.seed)) == run.identity:
            same[other, run.row] = None
            continue
        twin = first.setdefault((run.identity, scoring[run.row].name, other), run.row)
        if twin != run.row:
            same[twin, run.row] = None
    remedy = (
        "let them differ: what the base has already, a row need not add; a row drops a task of the base by "
        "`tasks.TASK.trained = false` in its manifest"
    )
    return [Problem("rows", f"'{clean(one)}' and '{clean(two)}' are the same run", remedy, str(file.path)) for one, two in same]


def _unequal(file: StudyFile, planned: list[PlannedRun]) -> list[Problem]:
    """Comparisons in which the target does not get a stated and equal number of updates."""
    against, problems = file.against(), []
    for reference in (name for name, other in against.items() if other is None or name in against.values()):
        runs = [run for run in planned if run.row == reference or against[run.row] == reference]
        found = {run.updates for run in runs}
        if len(found) == 1 and None not in found:
            continue
        said = ", ".join(f"{run.row}: {run.updates or 'not stated'}" for run in {run.row: run for run in runs}.values())
        remedy = (
            "give [scales.NAME] updates = N, or the base `train.target` and `train.target_updates`, or equal_updates = false, "
            "or compare a row with another one (`against`)"
        )
        found_there = f"the target '{runs[0].target}' gets unequal updates ({said})"
        problems.append(Problem("rows", found_there, remedy, str(file.path)))
    return problems


def _existing(runs: Path, digest: str) -> Path | None:
    """The folder of a run with this identity, whatever study and row made it."""
    found = sorted(runs.glob(f"*-{digest[:IDENTITY]}")) if runs.is_dir() else []
    return found[0] if found else None


def _slug(name: str) -> str:
    """A row's name as a file may be called, and a manifest."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.+_")[:60] or "row"

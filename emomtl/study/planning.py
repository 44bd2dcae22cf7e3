"""From a study to its runs: a complete manifest for each row and seed, an identity, and a folder that studies share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from emomtl.compose import Plan, compose_file
from emomtl.data.locate import Located, LocatedFiles
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import apply_overrides
from emomtl.run.files import storage, write_bytes
from emomtl.study.reading import StudyFile, laid_over

if TYPE_CHECKING:
    from emomtl.heads import Head
    from emomtl.plugins import Plugins
    from emomtl.study.models import RowTable

OWN = ("name", "folder")
"""Keys of a manifest that say nothing of what is computed, and are no part of a run's identity."""

IDENTITY = 12
"""Digits of an identity in a folder's name."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its row, seed and target, its manifest's file, its identity (SHA-256) and its folder."""

    row: str
    seed: int
    target: str
    manifest: Path
    identity: str
    folder: Path
    updates: int | None


@dataclass(frozen=True)
class Scoring:
    """What a row is scored by: a task, its head, and a figure. Rows are compared with the reference where `name` is its own."""

    target: str
    head: Head
    metric: str

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
    """All runs of a study, what each row is scored by, and where the study writes."""

    file: StudyFile
    folder: Path
    scoring: Mapping[str, Scoring]
    runs: tuple[PlannedRun, ...]

    @property
    def tuned(self) -> bool:
        """Whether the table has a row for the reference with tuned thresholds: a multi-label target, scored at 0.5 on test."""
        study, scoring = self.file.study, self.scoring[self.file.reference]
        other = "_at_" in scoring.metric or "/" in scoring.metric
        return study.tuned and study.test and scoring.head.kind == "multi-label" and not other

    def of(self, row: str) -> list[PlannedRun]:
        """The runs of a row, by seed."""
        return [run for run in self.runs if run.row == row]


class Identities:
    """What tells runs apart: their complete manifests without name and folder, and what their rows are, not where they lie."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}

    def of(self, plan: Plan) -> str:
        """The SHA-256 of a run; files are hashed once, however many runs read them, and a corpus of the hub goes by its name."""
        content = {key: value for key, value in plan.manifest.model_dump(mode="json").items() if key not in OWN}
        for name, bound in plan.tasks.items():
            assert bound.located is not None
            content["tasks"][name]["source"] = self._of_rows(bound.located)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def _of_rows(self, located: Located) -> str:
        if not isinstance(located, LocatedFiles):
            return located.identity
        if located.identity not in self._rows:
            self._rows[located.identity] = located.fingerprint()
        return self._rows[located.identity]


def plan_study(
    file: StudyFile,
    folder: Path,
    runs: Path,
    plugins: Plugins,
    overrides: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> StudyPlan:
    """Compose every run and write its manifest under `folder`; EmomtlError with everything that is wrong with any row.

    `overrides` (KEY=VALUE) are laid over every row; `sources` say where a task's rows are, in the rows that have the task.
    Two rows with equal complete manifests are one run. Where `equal_updates` holds, every row must give the target as many
    updates: `[scales.NAME] updates` sets them for all.
    """
    planned: list[PlannedRun] = []
    problems: list[Problem] = []
    scoring: dict[str, Scoring] = {}
    identities = Identities()
    with storage(folder):
        (folder / "manifests").mkdir(parents=True, exist_ok=True)
    for row in file.rows():
        for seed in file.seeds(row):
            path = folder / "manifests" / f"{_slug(row.name)}-seed{seed}.toml"
            try:
                data = run_data(file, row, seed, _slug(row.name), overrides, sources or {})
                write_bytes(path, tomli_w.dumps(data).encode())
                plan = compose_file(path, [], plugins)
                scoring[row.name] = _scoring(file, row, plan)
            except EmomtlError as error:
                problems += [problem for problem in error.problems if problem not in problems]
                break
            digest = identities.of(plan)
            train = plan.manifest.train
            updates = train.target_updates if train.target == file.target(row) else None
            place = _existing(runs, digest) or runs / f"{_slug(row.name)}-seed{seed}-{digest[:IDENTITY]}"
            planned.append(PlannedRun(row.name, seed, file.target(row), path, digest, place, updates))
    if not problems and file.study.equal_updates:
        problems += _unequal(file, planned)
    if problems:
        raise EmomtlError(*problems)
    return StudyPlan(file, folder, scoring, tuple(_one_folder_each(planned)))


def run_data(
    file: StudyFile,
    row: RowTable,
    seed: int,
    name: str,
    overrides: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A run's manifest as data: the base, then the scale, the row, the overrides, then what the study itself gives."""
    data, problems = apply_overrides(laid_over(laid_over(file.base, file.scale.manifest), row.manifest), overrides)
    if problems:
        raise EmomtlError(*problems)
    for task, table in data.get("tasks", {}).items():
        used = table.get("use", task) if isinstance(table, Mapping) else task
        if source := (sources or {}).get(task) or (sources or {}).get(used):
            data["tasks"] = {**data["tasks"], task: {**table, "source": source}}
    if file.scale.updates is not None:
        length = {"target": file.target(row), "target_updates": file.scale.updates}
        kept = {key: value for key, value in data.get("train", {}).items() if key not in ("epochs", "steps")}
        data["train"] = {**kept, **length}
    return {**data, "name": f"{name}-seed{seed}", "seed": seed, "folder": str(file.folder)}


def _scoring(file: StudyFile, row: RowTable, plan: Plan) -> Scoring:
    """The head of a row's target, and the figure."""
    target, metric = file.target(row), file.metric(row)
    if target not in plan.tasks:
        raise EmomtlError(Problem("target", f"'{clean(target)}' is no task of the runs", suggest(target, plan.tasks)))
    bound = plan.tasks[target]
    known = bound.figures()
    if metric is not None and metric not in known:
        raise EmomtlError(Problem("metric", f"'{target}' has no figure '{clean(metric)}'", suggest(metric, known)))
    return Scoring(target, bound.head, metric or bound.head.main_metric)


def _unequal(file: StudyFile, planned: list[PlannedRun]) -> list[Problem]:
    """Rows with one target in which it does not get a stated and equal number of updates."""
    problems = []
    for target in dict.fromkeys(run.target for run in planned):
        rows = {run.row: run.updates for run in planned if run.target == target}
        if len(set(rows.values())) == 1 and None not in rows.values():
            continue
        said = ", ".join(f"{row}: {updates or 'not stated'}" for row, updates in rows.items())
        remedy = "give [scales.NAME] updates = N, or the base `train.target` and `train.target_updates`, or equal_updates = false"
        problems.append(Problem("rows", f"the target '{target}' gets unequal updates ({said})", remedy, str(file.path)))
    return problems


def _existing(runs: Path, digest: str) -> Path | None:
    """The folder of a run with this identity, whatever study and row made it."""
    found = sorted(runs.glob(f"*-{digest[:IDENTITY]}")) if runs.is_dir() else []
    return found[0] if found else None


def _one_folder_each(planned: list[PlannedRun]) -> list[PlannedRun]:
    """Equal runs in one folder: the first one's."""
    from dataclasses import replace

    folders: dict[str, Path] = {}
    return [replace(run, folder=folders.setdefault(run.identity, run.folder)) for run in planned]


def _slug(name: str) -> str:
    """A row's name as a file may be called, and a manifest."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.+_")[:60] or "row"

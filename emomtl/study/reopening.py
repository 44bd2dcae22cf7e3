"""A study's folder, opened again: what was planned stands in its `study.json`, so that no corpus and no study file is needed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.analyses.answers.recorded import own_head
from emomtl.compose import compose
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.plugin_files import needs_trust, plugin_files
from emomtl.manifest import read_manifest
from emomtl.run import Run, is_run
from emomtl.safety.files import damaged, read_json, write_json
from emomtl.study.models import ScaleTable, Study
from emomtl.study.planning import PlannedRun, Scoring, StudyPlan
from emomtl.study.reading import StudyFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emomtl.contracts.heads import Head
    from emomtl.plugins.discovery import Plugins

NAME, FORMAT = "study.json", 1


def is_study(folder: Path) -> bool:
    """Whether a study was planned in this folder."""
    return (folder / NAME).is_file()


def keep_plan(plan: StudyPlan) -> None:
    """Write the plan's `study.json`; paths are relative to it, so that a study and its runs may move together."""
    runs = [
        {
            "row": run.row,
            "seed": run.seed,
            "target": run.target,
            "identity": run.identity,
            "updates": run.updates,
            "manifest": os.path.relpath(run.manifest.resolve(), plan.folder.resolve()),
            "folder": os.path.relpath(run.folder.resolve(), plan.folder.resolve()),
        }
        for run in plan.runs
    ]
    content = {
        "format": FORMAT,
        "file": os.path.relpath(plan.file.path.resolve(), plan.folder.resolve()),
        "study": plan.file.study.model_dump(mode="json"),
        "scale": plan.file.scale_name,
        "metrics": {row: scoring.metric for row, scoring in plan.scoring.items()},
        "runs": runs,
        "rates": plan.rates,
    }
    write_json(plan.folder / NAME, content)


def reopen_study(folder: Path, plugins: Plugins) -> StudyPlan:
    """The plan that was kept in a study's folder; EmomtlError where there is none, or it is damaged."""
    if not is_study(folder):
        found = "holds no study (it has no study.json)"
        raise EmomtlError(Problem(clean(str(folder), 300), found, "`emomtl study STUDY --plan` writes one, and runs nothing"))
    content = read_json(folder / NAME)
    if content.get("format") != FORMAT:
        raise damaged(folder / NAME, f"its format is not {FORMAT}")
    try:
        study = Study.model_validate_json(json.dumps(content["study"]))
        scale = content["scale"]
        file = StudyFile(study, folder / content["file"], {}, study.scales[scale] if scale else ScaleTable(), scale)
        runs = tuple(_planned(folder, run) for run in content["runs"])
        metrics = {run.row: str(content["metrics"][run.row]) for run in runs}
        if file.reference not in metrics:
            raise KeyError(file.reference)
    except (KeyError, TypeError, ValueError):
        raise damaged(folder / NAME, "it is not what emomtl writes") from None
    first = {run.row: run for run in reversed(runs)}
    of_row = {row: [run for run in runs if run.row == row] for row in first}
    scoring = {row: _scoring(run, of_row[row], metrics[row], plugins) for row, run in first.items()}
    return StudyPlan(file, folder, scoring, runs, rates=content.get("rates"))


def _scoring(run: PlannedRun, runs: Sequence[PlannedRun], metric: str, plugins: Plugins) -> Scoring:
    """What a row is scored by, from the manifest of one of its runs; plugin files are run only where they are trusted."""
    manifest = read_manifest(run.manifest)
    files = plugin_files(manifest, run.manifest.parent)
    if untrusted := [path for path in files if not plugins.trusts(path)]:
        head = next((found for one in runs if (found := _recorded_head(one)) is not None), None)
        if head is None:
            raise EmomtlError(needs_trust(run.manifest, untrusted))
        return Scoring(run.target, head, metric)
    plan = compose(manifest, plugins, run.manifest.parent, training=False)
    if run.target not in plan.tasks:
        raise damaged(run.manifest, f"it lacks the target '{clean(run.target)}'")
    return Scoring(run.target, plan.tasks[run.target].head, metric)


def _recorded_head(run: PlannedRun) -> Head | None:
    """The head of the target as a run of the row noted it, where it has scores and the head is emomtl's own."""
    if not is_run(run.folder):
        return None
    opened = Run.open(run.folder)
    scores = [entry["tasks"][run.target] for entry in opened.scores() if run.target in entry["tasks"]]
    table = opened.manifest.tasks.get(run.target)
    return own_head(scores[-1], table.head) if scores and table is not None else None


def _planned(folder: Path, run: dict[str, Any]) -> PlannedRun:
    home = folder.resolve()
    manifest, place = ((home / str(run[key])).resolve() for key in ("manifest", "folder"))
    if not manifest.is_relative_to(home) or Path(str(run["folder"])).is_absolute():
        raise ValueError("a manifest lies in the study's folder, and a run beside it")
    row, target, identity = (str(run[key]) for key in ("row", "target", "identity"))
    return PlannedRun(row, int(run["seed"]), target, manifest, identity, place, run["updates"])

"""A study's plan in its folder (`study.json`), to reopen it without its file and corpora."""

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
    """Write the plan's `study.json`; paths are relative to it: a study may move with its runs."""

    def relative(path: Path) -> str:
        return os.path.relpath(path.resolve(), plan.folder.resolve())

    runs = []
    for run in plan.runs:
        runs.append(
            {
                "row": run.row,
                "seed": run.seed,
                "target": run.target,
                "identity": run.identity,
                "updates": run.updates,
                "manifest": relative(run.manifest),
                "folder": relative(run.folder),
            }
        )
    content = {
        "format": FORMAT,
        "file": relative(plan.file.path),
        "study": plan.file.study.model_dump(mode="json"),
        "scale": plan.file.scale_name,
        "metrics": {row: scoring.metric for row, scoring in plan.scoring.items()},
        "runs": runs,
        "rates": plan.rates,
    }
    write_json(plan.folder / NAME, content)


def reopen_study(folder: Path, plugins: Plugins) -> StudyPlan:
    """The plan that a study's folder holds; EmomtlError where there is none, or it is damaged."""
    if not is_study(folder):
        found = "holds no study (it has no study.json)"
        remedy = "`emomtl study STUDY --plan` writes one, and runs nothing"
        raise EmomtlError(Problem(clean(str(folder), 300), found, remedy))
    content = read_json(folder / NAME)
    if content.get("format") != FORMAT:
        raise damaged(folder / NAME, f"its format is not {FORMAT}")
    try:
        study = Study.model_validate_json(json.dumps(content["study"]))
        scale_name = content["scale"]
        scale = study.scales[scale_name] if scale_name else ScaleTable()
        file = StudyFile(study, folder / content["file"], {}, scale, scale_name)
        runs = tuple(_planned(folder, run) for run in content["runs"])
        metrics = {run.row: str(content["metrics"][run.row]) for run in runs}
        if file.reference not in metrics:
            raise KeyError(file.reference)
    except (KeyError, TypeError, ValueError):
        raise damaged(folder / NAME, "it is not what emomtl writes") from None
    scoring = {}
    for row, metric in metrics.items():
        scoring[row] = _scoring([run for run in runs if run.row == row], metric, plugins)
    return StudyPlan(file, folder, scoring, runs, rates=content.get("rates"))


def _scoring(runs: Sequence[PlannedRun], metric: str, plugins: Plugins) -> Scoring:
    """What a row is scored by, from the manifest of its first run.

    Plugin files are run only where they are trusted; else the head is the one that a run recorded.
    """
    run = runs[0]
    manifest = read_manifest(run.manifest)
    files = plugin_files(manifest, run.manifest.parent)
    untrusted = [path for path in files if not plugins.trusts(path)]
    if untrusted:
        for candidate in runs:
            head = _recorded_head(candidate)
            if head is not None:
                return Scoring(run.target, head, metric)
        raise EmomtlError(needs_trust(run.manifest, untrusted))
    plan = compose(manifest, plugins, run.manifest.parent, training=False)
    if run.target not in plan.tasks:
        raise damaged(run.manifest, f"it lacks the target '{clean(run.target)}'")
    return Scoring(run.target, plan.tasks[run.target].head, metric)


def _recorded_head(run: PlannedRun) -> Head | None:
    """The target's head as a run recorded it, where it has scores and the head is emomtl's own."""
    if not is_run(run.folder):
        return None
    opened = Run.open(run.folder)
    table = opened.manifest.tasks.get(run.target)
    for entry in reversed(opened.scores()):
        if run.target in entry["tasks"] and table is not None:
            return own_head(entry["tasks"][run.target], table.head)
    return None


def _planned(folder: Path, run: dict[str, Any]) -> PlannedRun:
    home = folder.resolve()
    manifest, place = ((home / str(run[key])).resolve() for key in ("manifest", "folder"))
    if not manifest.is_relative_to(home) or Path(str(run["folder"])).is_absolute():
        raise ValueError("a manifest lies in the study's folder, and a run beside it")
    row, target, identity = (str(run[key]) for key in ("row", "target", "identity"))
    return PlannedRun(row, int(run["seed"]), target, manifest, identity, place, run["updates"])

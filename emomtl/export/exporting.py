"""`emomtl export`: write a run in another format, compare it with the run, and keep it only if it
agrees.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.exporter import Exporter, ModelToExport
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.export.plain import PLACE, model_to_export
from emomtl.export.record import write_record
from emomtl.export.verifying import Reference, largest_difference, main_scores, references
from emomtl.inference.trained import TrainedRun, open_trained
from emomtl.manifest import options_of
from emomtl.safety.files import storage, trouble
from emomtl.version import __version__

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.plugins.discovery import Plugins


@dataclass(frozen=True)
class ExportOrder:
    """What to export: a run's checkpoint and tasks, in which format, and where to.

    `thresholds` are `tuned` or `fixed`. `max_loss` is how much of its main metric a task may lose
    in a lossy format.
    """

    run: Path
    format: str
    out: Path
    tasks: tuple[str, ...] = ()
    checkpoint: str = "best"
    weights: str | None = None
    thresholds: str = "tuned"
    max_loss: float = 0.005
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """One folder that was written, and what was verified of each of its tasks."""

    folder: Path
    verified: Mapping[str, Mapping[str, Any]]


def export_run(order: ExportOrder, plugins: Plugins) -> list[Exported]:
    """Export a run, into one folder or, for formats of one task, one for each task.

    Nothing is left where the format cannot express the model or the written files disagree with
    the run: EmomtlError says what and why.
    """
    exporter: Exporter = plugins.offer("exporter", order.format).value()
    check_installed(exporter, order.format)
    if order.thresholds not in ("tuned", "fixed"):
        raise EmomtlError(
            Problem("--thresholds", f"'{clean(order.thresholds)}' is not known", "tuned or fixed")
        )
    check_empty(order.out)
    trained = open_trained(order.run, order.checkpoint, plugins, "cpu", order.weights)
    tasks = _answering(trained, order)
    groups = [{name: bound} for name, bound in tasks.items()] if exporter.one_task else [tasks]
    models = [model_to_export(trained, group, order.thresholds == "tuned") for group in groups]
    problems = []
    for model in models:
        problems += [
            Problem(PLACE, found, "`emomtl plugins` lists other formats")
            for found in exporter.obstacles(model)
        ]
    if problems:
        raise EmomtlError(*dict.fromkeys(problems))
    rows = references(trained, tasks, order.sources)
    exported = []
    for model, group in zip(models, groups, strict=True):
        folder = order.out if len(groups) == 1 else order.out / next(iter(group))
        exported.append(_write(_Job(order, exporter, trained, model, group, rows), folder))
    return exported


def check_installed(exporter: Exporter, name: str) -> None:
    """EmomtlError names the extra that a format takes and that is not installed."""
    missing = [package for package in exporter.needs if importlib.util.find_spec(package) is None]
    if missing:
        extra = exporter.needs[missing[0]]
        found = f"the format '{name}' takes {', '.join(missing)}, not installed here"
        raise EmomtlError(Problem("--format", found, f'`pip install "emomtl[{extra}]"`'))


def check_empty(folder: Path) -> None:
    """Refuse a folder that holds something: an export must hold nothing but itself."""
    with storage(folder, "read"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EmomtlError(
                trouble(
                    folder, "is there already, and not an empty folder", "name another with --out"
                )
            )


def _answering(trained: TrainedRun, order: ExportOrder) -> dict[str, BoundTask]:
    """The tasks that are exported: those named, or all that answer with something."""
    found = trained.tasks(order.tasks)
    if not order.tasks:
        found = {name: bound for name, bound in found.items() if bound.head.answers != "nothing"}
    if not found:
        raise EmomtlError(
            Problem(PLACE, "no task of the run answers for a text", "export another run")
        )
    return found


@dataclass(frozen=True)
class _Job:
    """All that writing one folder takes."""

    order: ExportOrder
    exporter: Exporter
    trained: TrainedRun
    model: ModelToExport
    tasks: Mapping[str, BoundTask]
    references: Mapping[str, Reference]


def _write(job: _Job, folder: Path) -> Exported:
    """Write beside the folder, verify, and move into its place."""
    aside = folder.with_name(f".{folder.name}.partial")
    with storage(folder):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            job.exporter.write(job.model, aside)
            verified = _verified(job, aside)
            (aside / "README.md").write_text(_readme(job, verified), encoding="utf-8")
            write_record(aside, _record(job, verified))
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return Exported(folder, verified)


def _verified(job: _Job, folder: Path) -> dict[str, dict[str, Any]]:
    """What the written files give on validation rows, beside the run; EmomtlError where they
    differ.
    """
    verified: dict[str, dict[str, Any]] = {}
    # Tasks of one corpus have the same texts, and one pass over them gives the logits of all.
    logits_by_texts: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for name, bound in job.tasks.items():
        reference = job.references[name]
        texts = (reference.texts, reference.pairs)
        if texts not in logits_by_texts:
            logits_by_texts[texts] = job.exporter.logits(job.model, folder, *texts)
        logits = logits_by_texts[texts][name]
        difference = largest_difference(name, reference, logits)
        before, after = main_scores(bound, reference, logits)
        verified[name] = {
            "rows": len(reference.texts),
            "largest_logit_difference": difference,
            "metric": bound.head.main_metric,
            "run": before,
            "exported": after,
        }
        limit = job.exporter.tolerance
        if limit is not None and not difference <= limit:
            found = (
                f"'{name}': logits differ from the run's by up to {difference:.2g} on validation,"
                f" more than {limit:g}"
            )
            raise EmomtlError(
                Problem(
                    PLACE, found, "nothing was written; please report it with the encoder's name"
                )
            )
        if limit is None:
            _check_loss(job, name, bound, before, after)
    return verified


def _check_loss(
    job: _Job, name: str, bound: BoundTask, before: float | None, after: float | None
) -> None:
    """Refuse a lossy export that loses too much of the main metric."""
    if before is None or after is None:
        return
    metric = bound.head.main_metric
    loss = after - before if bound.head.less_is_better(metric) else before - after
    if loss > job.order.max_loss:
        found = (
            f"'{name}': {metric} on validation goes from {before:.4f} to {after:.4f}, a loss of"
            " more than"
        )
        found += f" {job.order.max_loss:g}"
        raise EmomtlError(
            Problem(
                "--max-loss",
                found,
                "nothing was written; allow more, or take a format that is exact",
            )
        )


def _record(job: _Job, verified: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in `emomtl.json`."""
    trained, model = job.trained, job.model
    tasks = {}
    for name, bound in job.tasks.items():
        task, taxonomy = model.tasks[name], bound.taxonomy
        groupings = {} if taxonomy is None else {one.name: one.groups for one in taxonomy.groupings}
        tasks[name] = {
            "head": {"kind": bound.head.kind, "options": options_of(bound.head)},
            "labels": task.labels,
            "groupings": groupings,
            "activation": task.activation,
            "thresholds": task.thresholds,
            "pairs": task.pairs,
            "sensitive": bound.task.sensitive,
        }
    return {
        "emomtl": __version__,
        "exporter": job.order.format,
        "run": {
            "name": trained.run.name,
            "checkpoint": trained.checkpoint.path.name,
            "weights": trained.weights,
            "encoder": trained.plan.manifest.encoder.use,
        },
        "pooling": model.pooling,
        "max_tokens": model.max_tokens,
        "pad": {"id": int(model.tokenizer.pad_token_id or 0), "token": model.tokenizer.pad_token},
        "thresholds": job.order.thresholds,
        "tasks": tasks,
        "verified": verified,
    }


def _readme(job: _Job, verified: Mapping[str, Mapping[str, Any]]) -> str:
    """The model card of the run, with how to use this folder and what was verified."""
    from emomtl.analyses.card import model_card

    lines = ["## How to use", "", "```python", job.exporter.usage(job.model), "```", ""]
    lines += [
        "Replace FOLDER by the path of this folder. Labels and thresholds are in `emomtl.json`.",
        "",
    ]
    lines += [
        "## Verified",
        "",
        "| task | validation rows | largest difference of a logit | metric | run | export |",
    ]
    lines += ["| --- | ---: | ---: | --- | ---: | ---: |"]
    for name, facts in verified.items():
        scores = [facts["run"], facts["exported"]]
        shown = ["undefined" if score is None else f"{score:.4f}" for score in scores]
        difference = f"{facts['largest_logit_difference']:.2g}"
        lines.append(
            f"| {name} | {facts['rows']:,} | {difference} | {facts['metric']} | {shown[0]} |"
            f" {shown[1]} |"
        )
    card = model_card(job.trained.run, replace(job.trained.plan, tasks=dict(job.tasks)))
    return card + "\n" + "\n".join(lines) + "\n"

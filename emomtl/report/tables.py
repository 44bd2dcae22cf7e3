"""The tables of a report, in reading order: runs, comparisons, scores, sampling, looks, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.collect import RunResult
from emomtl.report.pairs import pairs_table
from emomtl.report.sampling import sampling_table
from emomtl.report.scores import label_tables, looks, scored, task_tables

if TYPE_CHECKING:
    from emomtl.manifest import Use

RUN_COLUMNS = (
    *("run", "tasks", "encoder", "sampler", "weighting", "per_step", "seed", "steps"),
    *("updates per task", "passes per task", "ended"),
)


def tables(results: Sequence[RunResult], split: str = "validation") -> list[Table]:
    """All tables that the runs allow, with the scores of one split.

    EmomtlError for every run that has not been evaluated on `split`, unless that is validation.
    """
    if not results:
        return []
    scores = scored(results, split)
    return [
        runs_table(results),
        *pairs_table(scores, split),
        *task_tables(scores, split),
        *sampling_table(results),
        *looks(results),
        *label_tables(scores, split),
    ]


def runs_table(results: Sequence[RunResult]) -> Table:
    """What each run was, how long it trained, how it ended, and as notes what is missing of it."""
    notes = [f"{result.name}: {what}" for result in results for what in result.missing]
    return Table("Runs", RUN_COLUMNS, tuple(map(_run, results)), tuple(notes))


def _run(result: RunResult) -> tuple[Cell, ...]:
    manifest = result.manifest
    sampler, weighting = _use(manifest.sampler), _use(manifest.weighting)
    used: tuple[str, ...] = (manifest.encoder.use, sampler, weighting, manifest.sampler.per_step)
    if result.baseline:
        used = (result.baseline, "none", "none", "none")
    updates, passes = "none logged", "none logged"
    if result.steps:
        updates = ", ".join(f"{task} {count}" for task, count in result.updates.items())
        passes = ", ".join(f"{task} {_passes(n)}" for task, n in result.passes.items())
    tasks = ", ".join(result.tasks)
    progress = (manifest.seed, result.step, updates, passes, result.ended)
    return (result.name, tasks, *used, *progress)


def _passes(number: float | None) -> str:
    if number is None:
        return "not known"
    return f"{number:.2f}"


def _use(use: Use) -> str:
    """`temperature (temperature 2.0)`: what is used, with its options where it was given any."""
    if not use.options:
        return use.use
    options = ", ".join(f"{key} {value}" for key, value in use.options.items())
    return f"{use.use} ({options})"

"""The tables of a report, in the order in which they are read: runs, comparisons, scores, sampling, looks, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.collect import RunResult
from emomtl.report.pairs import pairs_table
from emomtl.report.sampling import sampling_table
from emomtl.report.scores import label_tables, looks, scored, task_tables

if TYPE_CHECKING:
    from emomtl.manifest import Use

__all__ = ["Table", "tables"]

RUN_COLUMNS = (
    *("run", "tasks", "encoder", "sampler", "weighting", "per_step", "seed", "steps"),
    *("updates per task", "passes per task", "ended"),
)


def tables(results: Sequence[RunResult], split: str = "validation") -> list[Table]:
    """All tables that the runs allow, with scores of one split only; its name and number of rows stand in their titles.

    EmomtlError for every run that has not been evaluated on `split`, where that is not validation.
    """
    if not results:
        return []
    found = scored(results, split)
    parts = [pairs_table(found, split), task_tables(found, split), sampling_table(results), looks(results)]
    return [runs_table(results), *(table for part in parts for table in part), *label_tables(found, split)]


def runs_table(results: Sequence[RunResult]) -> Table:
    """What each run was, how long it trained, how it ended, and as notes what is missing of it."""
    notes = tuple(f"{result.name}: {what}" for result in results for what in result.missing)
    return Table("Runs", RUN_COLUMNS, tuple(_run(result) for result in results), notes)


def _run(result: RunResult) -> tuple[Cell, ...]:
    manifest = result.manifest
    used: tuple[str, ...] = (
        *(manifest.encoder.use, _use(manifest.sampler), _use(manifest.weighting), manifest.sampler.per_step),
    )
    if result.baseline:
        used = (result.baseline, *["none"] * (len(used) - 1))
    updates, passes = "none logged", "none logged"
    if result.steps:
        updates = _by_task({task: str(n) for task, n in result.updates.items()})
        passes = _by_task({task: "not known" if n is None else f"{n:.2f}" for task, n in result.passes.items()})
    return (result.name, ", ".join(result.tasks), *used, manifest.seed, result.step, updates, passes, result.ended)


def _use(use: Use) -> str:
    """`temperature (temperature 2.0)`: what is used, with its options where it was given any."""
    options = ", ".join(f"{key} {value}" for key, value in use.options.items())
    return f"{use.use} ({options})" if options else use.use


def _by_task(said: Mapping[str, str]) -> str:
    return ", ".join(f"{task} {figure}" for task, figure in said.items())

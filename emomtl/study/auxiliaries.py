"""The scores of the tasks that were trained beside a study's target, next to those of the rows that train them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.intervals import spread
from emomtl.run.answers import scored_own_rows
from emomtl.run.older import metric_facts
from emomtl.study.result import OtherTask, RowResult, StudyResult

if TYPE_CHECKING:
    from emomtl.run import Run

SHOWN = (("validation", "best"), ("test", "best"))
"""The scores that are shown: those of the checkpoint that the row's target chose."""


def add_other_tasks(
    found: dict[str, OtherTask],
    run: Run,
    scores: Sequence[Mapping[str, Any]],
    target: str,
    seed: int,
) -> None:
    """Add the scores of a run's other tasks: on validation those of training, on test only what was scored there anyway.

    `scores` are all evaluations of the run, as `Run.scores` reads them.
    """
    trained = [entry for entry in scores if entry.get("by") == "train"]
    best = {entry["checkpoint"] for entry in trained if entry["which"] == "best"}
    for entry in scores:
        is_chosen = entry["which"] == "best" if entry.get("by") == "train" else entry["checkpoint"] in best
        if not is_chosen:
            continue
        for task, scored in entry["tasks"].items():
            table = run.manifest.tasks.get(task)
            metric = metric_facts(scored, None if table is None else table.head).main_metric
            if task == target or metric is None or not scored_own_rows(run.environment, entry, task):
                continue
            other = found.setdefault(task, OtherTask(metric))
            other.scores.setdefault((entry["split"], "best"), {})[seed] = scored["metrics"].get(other.metric)


def auxiliary_table(result: StudyResult) -> list[Table]:
    """One table of every task that some row trains beside its target: in those rows, and in rows whose target it is."""
    beside = dict.fromkeys(task for row in result.rows for task in row.others)
    rows: list[tuple[Cell, ...]] = []
    for task in beside:
        rows += [_of_target(row) for row in result.rows if row.scoring.target == task and row.figures]
        rows += [_of_other(row, task, row.others[task]) for row in result.rows if task in row.others]
    if not rows:
        return []
    columns = ("task", "metric", "row", "trained", "seeds", *(f"{split}, {which}" for split, which in SHOWN))
    note = (
        "mean ± standard deviation over seeds, of the checkpoint that the row's own target chose; rows whose target a task is "
        "stand above those that train it beside another. Tasks beside the target get the updates that the sampler gives them, so "
        "these scores are no comparison at equal training; test is empty where no row is scored on it"
    )
    return [Table("Scores of the other tasks", columns, tuple(rows), (note,))]


def _of_target(row: RowResult) -> tuple[Cell, ...]:
    trained = "beside others" if row.others else "alone"
    scores = [_spelt(row.figures.get(column, {})) for column in SHOWN]
    return (row.scoring.target, row.scoring.metric, row.name, f"as the target, {trained}", _seeds(row.figures), *scores)


def _of_other(row: RowResult, task: str, other: OtherTask) -> tuple[Cell, ...]:
    scores = [_spelt(other.scores.get(column, {})) for column in SHOWN]
    return (task, other.metric, row.name, f"beside {row.scoring.target}", _seeds(other.scores), *scores)


def _seeds(scores: Mapping[tuple[str, str], Mapping[int, float | None]]) -> int:
    return len(scores.get(("validation", "best"), {}))


def _spelt(by_seed: Mapping[int, float | None]) -> str:
    """Mean and deviation; `undefined` where a seed's metric is."""
    values = [value for value in by_seed.values() if value is not None]
    if not by_seed:
        return ""
    if len(values) < len(by_seed):
        return "undefined"
    found = spread(values)
    return f"{found.mean:.4f}" if found.sd is None else f"{found.mean:.4f} ± {found.sd:.4f}"

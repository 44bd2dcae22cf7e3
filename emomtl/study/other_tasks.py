"""Scores of the tasks that a study's rows train beside their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.intervals import spread
from emomtl.run.older import metric_facts
from emomtl.run.predictions import scored_own_rows
from emomtl.study.result import OtherTask, Scores, StudyResult

if TYPE_CHECKING:
    from emomtl.run import Run

SHOWN = (("validation", "best"), ("test", "best"))
"""The scores that are shown: those of the checkpoint that the row's target chose."""

NOTE = (
    "mean ± standard deviation over seeds, of the checkpoint that the row's own target chose; rows "
    "whose target a task is stand above those that train it beside another. Tasks beside the "
    "target get the updates that the sampler gives them, so these scores are no comparison at "
    "equal training; test is empty where no row is scored on it"
)


def add_other_tasks(
    others: dict[str, OtherTask],
    run: Run,
    scores: Sequence[Mapping[str, Any]],
    target: str,
    seed: int,
) -> None:
    """Add the scores of a run's other tasks, of its best checkpoint on its own rows.

    `scores` are all evaluations of the run. On test only what was scored anyway is there.
    """
    best = {entry["checkpoint"] for entry in scores if _is_best(entry)}
    for entry in scores:
        if not _is_best(entry) and (entry.get("by") == "train" or entry["checkpoint"] not in best):
            continue
        for task, scored in entry["tasks"].items():
            table = run.manifest.tasks.get(task)
            metric = metric_facts(scored, None if table is None else table.head).main_metric
            is_own = scored_own_rows(run.environment, entry, task)
            if task != target and metric is not None and is_own:
                other = others.setdefault(task, OtherTask(metric))
                by_seed = other.scores.setdefault((entry["split"], "best"), {})
                by_seed[seed] = scored["metrics"].get(other.metric)


def _is_best(entry: Mapping[str, Any]) -> bool:
    return entry.get("by") == "train" and entry["which"] == "best"


def other_tasks_table(result: StudyResult) -> list[Table]:
    """One table of every task that some row trains beside its target; none where there is no such.

    A task stands in the rows whose target it is, too.
    """
    rows: list[tuple[Cell, ...]] = []
    for task in dict.fromkeys(task for row in result.rows for task in row.others):
        for row in result.rows:
            if row.scoring.target == task and row.scores:
                trained = "as the target, " + ("beside others" if row.others else "alone")
                rows.append((task, row.scoring.metric, row.name, trained, *_cells(row.scores)))
        for row in result.rows:
            if task in row.others:
                other, trained = row.others[task], f"beside {row.scoring.target}"
                rows.append((task, other.metric, row.name, trained, *_cells(other.scores)))
    if not rows:
        return []
    columns = ("task", "metric", "row", "trained", "seeds", *map(", ".join, SHOWN))
    return [Table("Scores of the other tasks", columns, tuple(rows), (NOTE,))]


def _cells(scores: Scores) -> list[Cell]:
    """The number of seeds, and mean and deviation in each shown column."""
    cells: list[Cell] = [len(scores.get(("validation", "best"), {}))]
    for column in SHOWN:
        by_seed = scores.get(column, {})
        values = [value for value in by_seed.values() if value is not None]
        if len(values) < len(by_seed):
            cells.append("undefined")
        else:
            cells.append(str(spread(values)) if values else "")
    return cells

"""Single-task runs beside multi-task runs: the same task, the same metric, and whether the comparison is fair."""

from __future__ import annotations

from collections.abc import Sequence

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.report.collect import RunResult
from emomtl.report.scores import Scored, chosen_by_other, rows_in_words, selected

UNEQUAL = 0.02
"""The part by which budgets may differ before a warning says so."""

COLUMNS = (
    *("task", "metric", "checkpoint", "single-task run", "multi-task run", "single-task", "multi-task", "difference"),
    *("updates, single-task", "updates, multi-task"),
)


def pairs_table(found: Sequence[Scored], split: str) -> list[Table]:
    """Each single-task run beside each multi-task run with its task, at the best and at the last checkpoint of both.

    Runs of the same seed are paired where there are such, all with all otherwise. The difference is multi-task less
    single-task; updates are those of the task over the whole run. No table where there is no pair.
    """
    pairs = [pair for task in dict.fromkeys(one.task for one in found) for pair in _pairs(found, task)]
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = ["one seed: a difference is not evidence (each row compares one run with one run)"]
    for single, multi, metric in pairs:
        ours, theirs = single.metrics.get(metric), multi.metrics.get(metric)
        difference = theirs - ours if ours is not None and theirs is not None else None
        names = (single.task, metric, single.which, single.result.name, multi.result.name)
        updates = (_had(single, "updates"), _had(multi, "updates"))
        rows.append((*names, ours, theirs, difference, *updates))
        notes += _warnings(single, multi)
        if single.facts.less_is_better(metric) or multi.facts.less_is_better(metric):
            notes.append(f"{metric} is an error: below 0 the multi-task run is the better one")
    if not rows:
        return []
    counts = sorted({one.rows for pair in pairs for one in pair[:2]})
    title = f"Single-task beside multi-task on {split} ({rows_in_words(counts)})"
    return [Table(title, COLUMNS, tuple(rows), tuple(dict.fromkeys(notes)))]


def _pairs(found: Sequence[Scored], task: str) -> list[tuple[Scored, Scored, str]]:
    """The pairs of a task with the metric to compare: the one that chose the single-task run's best, else the main one."""
    singles = [one for one in found if one.task == task and len(one.result.tasks) == 1 and not one.result.baseline]
    multis = [one for one in found if one.task == task and len(one.result.tasks) > 1]
    pairs = []
    for multi in multis:
        beside = [one for one in singles if one.which == multi.which]
        same_seed = [one for one in beside if _seed(one.result) == _seed(multi.result)]
        for single in same_seed or beside:
            wanted = (selected(single.result, task), single.facts.main_metric)
            metric = next((name for name in wanted if name in single.metrics and name in multi.metrics), None)
            if metric is not None:
                pairs.append((single, multi, metric))
    return pairs


def _warnings(single: Scored, multi: Scored) -> list[str]:
    """What makes a pair unequal: budget, rows that were scored, corpus, seed, or a best that another task chose."""
    task, both = single.task, f"{single.result.name} and {multi.result.name}"
    said: list[str] = []
    for what in ("updates", "examples"):
        one, other = _had(single, what), _had(multi, what)
        if one is None or other is None:
            said.append(WarningNote(f"{what} of {task} are not known for {both}"))
        elif abs(one - other) > UNEQUAL * max(one, other):
            said.append(WarningNote(f"unequal {what} of {task}: {one} in {single.result.name}, {other} in {multi.result.name}"))
    if single.rows != multi.rows:
        said.append(WarningNote(f"{both} scored {task} on {single.rows} and on {multi.rows} rows: not comparable"))
    if _corpus(single) != _corpus(multi):
        said.append(WarningNote(f"{both} read different corpora for {task}: not comparable"))
    if _seed(single.result) != _seed(multi.result):
        said.append(f"{both} have different seeds ({_seed(single.result)} and {_seed(multi.result)})")
    if single.which == "best" and (chooser := chosen_by_other(multi.result, task, task)):
        said.append(f"the best checkpoint of {multi.result.name} was chosen by {chooser}")
    return said


def _had(one: Scored, what: str) -> int | None:
    """Updates or examples of the task over the whole run; None where no step was logged."""
    if not one.result.steps:
        return None
    return (one.result.updates if what == "updates" else one.result.counts)[one.task]


def _seed(result: RunResult) -> int:
    return result.manifest.seed


def _corpus(one: Scored) -> object:
    data = one.result.environment.get("data")
    return data.get(one.task) if isinstance(data, dict) else None

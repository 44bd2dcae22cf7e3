"""Single-task runs beside multi-task runs of one task, and whether the comparison is fair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.report.collect import RunResult
from emomtl.report.scores import Scored, chosen_by_other, rows_in_words, selected

UNEQUAL = 0.02
"""The part by which budgets may differ before a warning says so."""

COLUMNS = (
    *("task", "metric", "checkpoint", "single-task run", "multi-task run"),
    *("single-task", "multi-task", "difference"),
    *("updates, single-task", "updates, multi-task"),
)
ONE_SEED = "one seed: a difference is not evidence (each row compares one run with one run)"


def pairs_table(all_scores: Sequence[Scored], split: str) -> list[Table]:
    """Each single-task run beside each multi-task run of its task, at the best and last checkpoint.

    Runs of the same seed are paired where there are such, all with all otherwise. The difference is
    multi-task less single-task; updates are those of the task over the whole run. No table where
    there is no pair.
    """
    rows: list[tuple[Cell, ...]] = []
    notes = [ONE_SEED]
    row_counts: list[int] = []
    for single, multi, metric in _pairs(all_scores):
        values = (single.metrics[metric], multi.metrics[metric])
        difference = None
        if values[0] is not None and values[1] is not None:
            difference = values[1] - values[0]
        names = (single.task, metric, single.which, single.result.name, multi.result.name)
        updates = (_updates(single), _updates(multi))
        rows.append((*names, *values, difference, *updates))
        row_counts += [single.rows, multi.rows]
        notes += _unfair(single, multi)
        if single.facts.less_is_better(metric) or multi.facts.less_is_better(metric):
            notes.append(f"{metric} is an error: below 0 the multi-task run is the better one")
    if not rows:
        return []
    title = f"Single-task beside multi-task on {split} ({rows_in_words(row_counts)})"
    return [Table(title, COLUMNS, tuple(rows), tuple(dict.fromkeys(notes)))]


def _pairs(all_scores: Sequence[Scored]) -> Iterator[tuple[Scored, Scored, str]]:
    """The pairs, task by task, with the metric that both have (`_common_metric`)."""
    for task in dict.fromkeys(scores.task for scores in all_scores):
        of_task = [scores for scores in all_scores if scores.task == task]
        for multi in of_task:
            if len(multi.result.tasks) > 1:
                yield from _pairs_with(multi, of_task)


def _pairs_with(multi: Scored, of_task: Sequence[Scored]) -> Iterator[tuple[Scored, Scored, str]]:
    """The pairs of one multi-task run: those of its seed, else all."""
    beside: list[Scored] = []
    same_seed: list[Scored] = []
    for single in of_task:
        is_single = len(single.result.tasks) == 1 and not single.result.baseline
        if is_single and single.which == multi.which:
            beside.append(single)
            if _seed(single.result) == _seed(multi.result):
                same_seed.append(single)
    for single in same_seed or beside:
        metric = _common_metric(single, multi)
        if metric is not None:
            yield single, multi, metric


def _common_metric(single: Scored, multi: Scored) -> str | None:
    """The metric that selected the single-task run's best, else its main one; None without both."""
    for metric in (selected(single.result, single.task), single.facts.main_metric):
        if metric in single.metrics and metric in multi.metrics:
            return metric
    return None


def _unfair(single: Scored, multi: Scored) -> Iterator[str]:
    """What makes a pair unequal: budget, rows, corpus, seed, or a best that another task chose."""
    task, both = single.task, f"{single.result.name} and {multi.result.name}"
    for what, budget in (("updates", _updates), ("examples", _examples)):
        ours, theirs = budget(single), budget(multi)
        if ours is None or theirs is None:
            yield WarningNote(f"{what} of {task} are not known for {both}")
        elif abs(ours - theirs) > UNEQUAL * max(ours, theirs):
            amounts = f"{ours} in {single.result.name}, {theirs} in {multi.result.name}"
            yield WarningNote(f"unequal {what} of {task}: {amounts}")
    if single.rows != multi.rows:
        rows = f"on {single.rows} and on {multi.rows} rows"
        yield WarningNote(f"{both} scored {task} {rows}: not comparable")
    if _corpus(single) != _corpus(multi):
        yield WarningNote(f"{both} read different corpora for {task}: not comparable")
    if _seed(single.result) != _seed(multi.result):
        seeds = f"{_seed(single.result)} and {_seed(multi.result)}"
        yield f"{both} have different seeds ({seeds})"
    if single.which == "best" and (chooser := chosen_by_other(multi.result, task, task)):
        yield f"the best checkpoint of {multi.result.name} was chosen by {chooser}"


def _updates(scores: Scored) -> int | None:
    """Updates of the task over the whole run; None where no step was logged."""
    if not scores.result.steps:
        return None
    return scores.result.updates[scores.task]


def _examples(scores: Scored) -> int | None:
    """Examples of the task over the whole run; None where no step was logged."""
    if not scores.result.steps:
        return None
    return scores.result.counts[scores.task]


def _seed(result: RunResult) -> int:
    return result.manifest.seed


def _corpus(scores: Scored) -> object:
    data = scores.result.environment.get("data")
    return data.get(scores.task) if isinstance(data, dict) else None

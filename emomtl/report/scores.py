"""Which evaluations a report takes, which metrics it shows, and the tables of scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.contracts.heads import MetricFacts
from emomtl.contracts.sources import SPLITS
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.metrics.selection import MEAN, selecting_task, selection_in_words
from emomtl.report.collect import RunResult
from emomtl.run.older import metric_facts
from emomtl.run.predictions import scored_own_rows

ELSEWHERE = WarningNote(
    "scored on other rows than those of the run's own corpus (--allow-changed data)"
)
ELSEWHERE_TOO = (
    "also scored on other rows (--allow-changed data); the figures are of the run's own corpus"
)
CHECKPOINT_ORDER = {"best": 0, "last": 1}


@dataclass(frozen=True)
class Scored:
    """The scores of one task at one checkpoint (`which`: best, last or a step) on one split.

    `undefined` are notes: what a reader must know of these rows, and which metrics are undefined.
    """

    result: RunResult
    task: str
    which: str
    step: int
    rows: int
    metrics: Mapping[str, float | None]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    undefined: tuple[str, ...]
    facts: MetricFacts = field(default_factory=MetricFacts)

    @property
    def checkpoint(self) -> tuple[str, str, int]:
        """What tells this checkpoint's task from others."""
        return (self.result.name, self.task, self.step)

    def cell(self, metric: str) -> Cell:
        """A metric's value: None where undefined, in words where another head does not give it."""
        cells: Mapping[str, Cell] = self.metrics
        return cells.get(metric, "not measured")


def scored(results: Sequence[RunResult], split: str) -> list[Scored]:
    """The scores of the runs on a split: the newest of each checkpoint and task, the best first.

    On validation they are those of training; on other splits those of `emomtl eval`; a baseline has
    its own on any split. An evaluation of other rows than the run's own (`--allow-changed data`) is
    shown where there is no other, and mentioned in any case. EmomtlError for an unknown split, and
    for every run that was never evaluated on a split other than validation.
    """
    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"no split '{clean(split)}'", suggest(split, SPLITS)))
    all_scores: list[Scored] = []
    problems: list[Problem] = []
    for result in results:
        scores = _scores_of_run(result, split)
        all_scores += scores
        if not scores and split != "validation":
            remedy = f"emomtl eval {clean(str(result.folder), 400)} --split {split}"
            problems.append(Problem(clean(result.name, 200), f"never evaluated on {split}", remedy))
    if problems:
        raise EmomtlError(*problems)
    return all_scores


def _scores_of_run(result: RunResult, split: str) -> list[Scored]:
    writers = ("train" if split == "validation" else "eval", "baseline")
    newest: dict[tuple[str, str], Scored] = {}
    elsewhere: dict[tuple[str, str], Scored] = {}
    for entry in result.evaluations:
        if entry["split"] != split or entry.get("by") not in writers:
            continue
        for task in entry["tasks"]:
            if task in result.tasks:
                scores = _scored(result, entry, task)
                is_own = scored_own_rows(result.environment, entry, task)
                (newest if is_own else elsewhere)[task, scores.which] = scores
    for key, scores in elsewhere.items():
        note = ELSEWHERE_TOO if key in newest else ELSEWHERE
        shown = newest.get(key, scores)
        newest[key] = replace(shown, undefined=(*shown.undefined, note))
    return sorted(newest.values(), key=_order)


def _scored(result: RunResult, entry: Mapping[str, Any], task: str) -> Scored:
    scores = entry["tasks"][task]
    return Scored(
        result=result,
        task=task,
        which=str(entry.get("which")),
        step=entry["step"],
        rows=scores["rows"],
        metrics=scores["metrics"],
        tables=scores.get("tables", {}),
        undefined=tuple(map(str, _notes(scores))),
        facts=metric_facts(scores, result.manifest.tasks[task].head),
    )


def _order(scores: Scored) -> tuple[int, int, int]:
    """By the run's tasks, then the best checkpoint, the last, and others by step."""
    task = scores.result.tasks.index(scores.task)
    return task, CHECKPOINT_ORDER.get(scores.which, len(CHECKPOINT_ORDER)), scores.step


def _notes(scores: Mapping[str, Any]) -> list[Any]:
    """What a reader of a task's scores has to know: unscored rows, targets, undefined metrics."""
    notes: list[Any] = []
    if unlabelled := scores.get("unlabelled"):
        total = unlabelled + scores["rows"]
        notes.append(f"{unlabelled:,} of {total:,} rows have no label: not scored")
    if left_out := scores.get("left_out"):
        notes.append(f"{left_out:,} bad row(s) are left out of the score")
    if tuned := scores.get("tuned"):
        notes.append(tuned)
    return [*notes, *(scores.get("remarks") or ()), *(scores.get("undefined") or ())]


def selected(result: RunResult, task: str) -> str | None:
    """The metric of this task that selected the run's best checkpoint; None where none did."""
    select = result.manifest.eval.select or ""
    if selecting_task(select) != task:
        return None
    return select.partition("/")[2]


def chosen_by_other(result: RunResult, task: str, named: str = "this task") -> str:
    """What selected the best checkpoint where it was not this task alone, in words; else ""."""
    select = result.manifest.eval.select
    if not select or result.baseline or selected(result, task) is not None:
        return ""
    if select != MEAN:
        return f"{selection_in_words(select)}, not by {named}"
    if len(result.tasks) == 1:
        return ""
    return f"{selection_in_words(select)}, not by {named} alone"


def main_metric_of(result: RunResult, task: str, metrics: Iterable[str]) -> str | None:
    """The main metric of a task, among those of its evaluations, as its head says.

    Before a run has scores, the events of its evaluations say it.
    """
    scores: dict[str, Any] = {}
    for event in result.validations:
        main_metrics = event.get("main_metrics", {})
        if task in main_metrics:
            scores = {"main_metric": main_metrics[task]}
    for entry in result.evaluations:
        if task in entry["tasks"]:
            scores = dict(entry["tasks"][task])
    scores["metrics"] = list(metrics)
    return metric_facts(scores, result.manifest.tasks[task].head).main_metric


def main_columns(scores: Scored) -> list[str]:
    """The metrics shown of a task: its head's, the main one on groupings, the selecting one."""
    main = scores.facts.main_metric
    names: list[str | None] = [*scores.facts.reported]
    names += [f"{grouping}/{main}" for grouping in scores.tables if grouping]
    names += [main, selected(scores.result, scores.task)]
    return [name for name in dict.fromkeys(names) if name is not None and name in scores.metrics]


def task_tables(all_scores: Sequence[Scored], split: str) -> list[Table]:
    """One table a task: a row for each run and checkpoint."""
    by_task: dict[str, list[Scored]] = {}
    for scores in all_scores:
        by_task.setdefault(scores.task, []).append(scores)
    return [_task_table(task, scores, split) for task, scores in by_task.items()]


def _task_table(task: str, of_task: Sequence[Scored], split: str) -> Table:
    row_counts = sorted({scores.rows for scores in of_task})
    uneven = len(row_counts) > 1
    columns = ["run", "checkpoint", "step"]
    if uneven:
        columns.append("rows")
    metrics: dict[str, None] = {}
    for scores in of_task:
        metrics |= dict.fromkeys(main_columns(scores))
    rows: list[tuple[Cell, ...]] = []
    for which, scores in _merge_checkpoints(of_task):
        row: list[Cell] = [scores.result.name, which, scores.step]
        if uneven:
            row.append(scores.rows)
        rows.append((*row, *map(scores.cell, metrics)))
    title = f"{task} on {split} ({rows_in_words(row_counts)})"
    notes = _task_notes(task, of_task, uneven)
    return Table(title, (*columns, *metrics), tuple(rows), tuple(notes))


def _task_notes(task: str, of_task: Sequence[Scored], uneven: bool) -> list[str]:
    notes: list[str] = []
    if uneven:
        unequal = "the runs were scored on different numbers of rows"
        notes.append(WarningNote(f"{unequal}, so their figures are not comparable"))
    for result in {scores.result.name: scores.result for scores in of_task}.values():
        chooser = chosen_by_other(result, task)
        if not chooser and len(result.tasks) > 1 and not result.baseline:
            chooser = result.manifest.eval.select or ""
        if chooser:
            notes.append(f"{result.name}: its best checkpoint was chosen by {chooser}")
    checkpoints: dict[tuple[str, str], list[str]] = {}
    for scores in of_task:
        for note in scores.undefined:
            checkpoints.setdefault((scores.result.name, note), []).append(scores.which)
    for (name, note), which in checkpoints.items():
        notes.append(f"{name} ({', '.join(which)}): {note}")
    return notes


def _merge_checkpoints(of_task: Sequence[Scored]) -> list[tuple[str, Scored]]:
    """Rows with the names of their checkpoint: `best, last` where both are one with one score."""
    rows: list[tuple[str, Scored]] = []
    for scores in of_task:
        for place, (name, other) in enumerate(rows):
            if _is_same_checkpoint(scores, other):
                rows[place] = (f"{name}, {scores.which}", other)
                break
        else:
            rows.append((scores.which, scores))
    return rows


def _is_same_checkpoint(scores: Scored, other: Scored) -> bool:
    """Whether best and last of a run are one checkpoint, scored alike."""
    return (
        {scores.which, other.which} == {"best", "last"}
        and scores.checkpoint == other.checkpoint
        and scores.rows == other.rows
        and scores.metrics == other.metrics
    )


def label_tables(all_scores: Sequence[Scored], split: str) -> list[Table]:
    """For each run and task the metrics by label, and by each grouping, at its first checkpoint.

    That is the best checkpoint, where it was scored.
    """
    first: dict[tuple[str, str], Scored] = {}
    for scores in all_scores:
        first.setdefault((scores.result.name, scores.task), scores)
    tables = []
    for scores in first.values():
        for grouping, rows in scores.tables.items():
            if rows:
                tables.append(_label_table(scores, grouping, rows, split))
    return tables


def _label_table(
    scores: Scored, grouping: str, by_label: Sequence[Mapping[str, Any]], split: str
) -> Table:
    columns: dict[str, None] = {}
    for row in by_label:
        columns |= dict.fromkeys(map(str, row))
    task, which = scores.task, scores.which
    if grouping:
        task = f"{task}, grouping {grouping},"
    if which not in CHECKPOINT_ORDER:
        which = f"step {which}"
    where = f"on {split} ({rows_in_words([scores.rows])})"
    title = f"By label: {task} {where}, {which} checkpoint of {scores.result.name}"
    rows = [tuple(_cell(row.get(name)) for name in columns) for row in by_label]
    return Table(title, tuple(columns), tuple(rows))


def looks(results: Sequence[RunResult]) -> list[Table]:
    """How often each checkpoint was scored on test; no table where none ever was.

    Evaluations of other rows than the run's own are no looks at its test; a note counts them.
    """
    counts: dict[tuple[str, str], int] = {}
    tasks: dict[tuple[str, str], dict[str, None]] = {}
    elsewhere: dict[str, int] = {}
    for result in results:
        for entry in result.evaluations:
            if entry["split"] != "test":
                continue
            if not _is_of_own_rows(result, entry):
                elsewhere[result.name] = elsewhere.get(result.name, 0) + 1
                continue
            key = (result.name, str(entry.get("checkpoint")))
            counts[key] = max(counts.get(key, 0) + 1, entry.get("look", 1))
            tasks.setdefault(key, {}).update(dict.fromkeys(entry["tasks"]))
    if not counts:
        return []
    notes: list[str] = []
    if max(counts.values()) > 1:
        tuned = "what was chosen after several looks at test is tuned on test"
        notes.append(WarningNote(f"{tuned}, and its test figures are optimistic"))
    for name, count in elsewhere.items():
        notes.append(f"{name}: {count} evaluation(s) of other rows are not counted")
    rows = [(*key, count, ", ".join(tasks[key])) for key, count in counts.items()]
    columns = ("run", "checkpoint", "looks", "tasks")
    return [Table("Looks at test", columns, tuple(rows), tuple(notes))]


def _is_of_own_rows(result: RunResult, entry: Mapping[str, Any]) -> bool:
    """Whether any task of an evaluation was scored on the run's own rows, or it has no tasks."""
    tasks = entry["tasks"]
    return not tasks or any(scored_own_rows(result.environment, entry, task) for task in tasks)


def rows_in_words(counts: Sequence[int]) -> str:
    """`200 rows`, or `200 to 5426 rows` where runs differ."""
    low, high = min(counts), max(counts)
    if low != high:
        return f"{low} to {high} rows"
    if low == 1:
        return "1 row"
    return f"{low} rows"


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, (str, int, float)) else str(value)

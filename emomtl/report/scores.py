"""Which evaluations a report takes, which figures of a task it shows, and the tables of scores by task and by label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.contracts.heads import MetricFacts
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.metrics.selection import MEAN, selecting_task, selection_in_words
from emomtl.report.collect import RunResult
from emomtl.run.answers import scored_own_rows
from emomtl.run.older import metric_facts

SPLITS = ("train", "validation", "test")
ELSEWHERE = WarningNote("scored on other rows than those of the run's own corpus (--allow-changed data)")
ELSEWHERE_TOO = "also scored on other rows (--allow-changed data); the figures are of the run's own corpus"


@dataclass(frozen=True)
class Scored:
    """The figures of one task at one checkpoint of one run (`which`: best, last or a step) on one split."""

    result: RunResult
    task: str
    which: str
    step: int
    rows: int
    metrics: Mapping[str, float | None]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    undefined: tuple[str, ...]
    facts: MetricFacts = field(default_factory=MetricFacts)


def scored(results: Sequence[RunResult], split: str) -> list[Scored]:
    """What the runs scored on a split: of each checkpoint and task the newest figures, the best checkpoint first.

    On validation these are the figures that training kept; on other splits those of `emomtl eval`; a baseline has its own on
    any split. An evaluation of other rows than the run's own (`--allow-changed data`) never stands for one of these: it is
    shown where there is no other, and said either way. EmomtlError for a split
    that there is not, and for every run that was never evaluated on a split other than validation.
    """
    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"no split '{clean(split)}'", suggest(split, SPLITS)))
    found = {result.name: _of_run(result, split) for result in results}
    if split != "validation":
        lacking = [result for result in results if not found[result.name]]
        if lacking:
            raise EmomtlError(*(_never_evaluated(result, split) for result in lacking))
    return [one for result in results for one in found[result.name]]


def _never_evaluated(result: RunResult, split: str) -> Problem:
    place = clean(result.name, 200)
    return Problem(place, f"never evaluated on {split}", f"emomtl eval {clean(str(result.folder), 400)} --split {split}")


def _of_run(result: RunResult, split: str) -> list[Scored]:
    writers = ("train" if split == "validation" else "eval", "baseline")
    order = {task: i for i, task in enumerate(result.tasks)}
    newest: dict[tuple[str, str], Scored] = {}
    elsewhere: dict[tuple[str, str], Scored] = {}
    for entry in result.evaluations:
        if entry["split"] != split or entry.get("by") not in writers:
            continue
        which = str(entry.get("which"))
        for task, scores in entry["tasks"].items():
            if task not in order:
                continue
            notes = tuple(str(note) for note in _notes(scores))
            figures = (entry["step"], scores["rows"], scores["metrics"], scores.get("tables", {}), notes)
            facts = metric_facts(scores, result.manifest.tasks[task].head)
            found = Scored(result, task, which, *figures, facts)
            own = scored_own_rows(result.environment, entry, task)
            (newest if own else elsewhere)[task, which] = found
    for key, found in elsewhere.items():
        said = ELSEWHERE_TOO if key in newest else ELSEWHERE
        shown = newest.get(key, found)
        newest[key] = replace(shown, undefined=(*shown.undefined, said))
    rank = {"best": 0, "last": 1}
    return sorted(newest.values(), key=lambda one: (order[one.task], rank.get(one.which, 2), one.step))


def _together(found: Sequence[Scored]) -> list[tuple[str, Scored]]:
    """Rows of a table with what their checkpoint is called: `best, last` where the two are one checkpoint with one score."""
    rows: list[tuple[str, Scored]] = []
    for one in found:
        same = next((place for place, (_, row) in enumerate(rows) if _is_same(one, row)), None)
        if same is None:
            rows.append((one.which, one))
        else:
            rows[same] = (f"{rows[same][0]}, {one.which}", rows[same][1])
    return rows


def _is_same(one: Scored, other: Scored) -> bool:
    """Whether best and last of a run are one checkpoint, scored alike."""
    both = {one.which, other.which} == {"best", "last"}
    return both and one.result is other.result and (one.step, one.rows, one.metrics) == (other.step, other.rows, other.metrics)


def _notes(scores: Mapping[str, Any]) -> list[Any]:
    """What a reader of a task's kept metrics has to know: rows that are not scored, how targets are taken, what is undefined."""
    found = [*(scores.get("remarks") or ()), *(scores.get("undefined") or ())]
    if scores.get("tuned"):
        found.insert(0, scores["tuned"])
    if scores.get("left_out"):
        found.insert(0, f"{scores['left_out']:,} bad row(s) are left out of the score")
    if scores.get("unlabelled"):
        found.insert(0, f"{scores['unlabelled']:,} of {scores['unlabelled'] + scores['rows']:,} rows have no label: not scored")
    return found


def selected(result: RunResult, task: str) -> str | None:
    """The metric of this task that chose the run's best checkpoint; None where another task's did, or the mean over tasks."""
    select = result.manifest.eval.select or ""
    return select.partition("/")[2] if selecting_task(select) == task else None


def chosen_by_other(result: RunResult, task: str, named: str = "this task") -> str:
    """What chose the run's best checkpoint where it was not this task alone, in words; else nothing."""
    select = result.manifest.eval.select
    if not select or result.baseline or selected(result, task) is not None:
        return ""
    only = select == MEAN and len(result.tasks) == 1
    return "" if only else f"{selection_in_words(select)}, not by {named}{' alone' if select == MEAN else ''}"


def main_metric_of(result: RunResult, task: str, metrics: Iterable[str]) -> str | None:
    """The main metric of a run's task, among those that its evaluations have: as the head says.

    Before a run has scores, the events of its evaluations tell.
    """
    evaluated = [entry["tasks"][task] for entry in result.evaluations if task in entry["tasks"]]
    by_events = [event["main_metrics"][task] for event in result.validations if task in event.get("main_metrics", {})]
    scores: dict[str, Any] = {"metrics": list(metrics)}
    if evaluated:
        scores |= {key: value for key, value in evaluated[-1].items() if key != "metrics"}
    elif by_events:
        scores["main_metric"] = by_events[-1]
    return metric_facts(scores, result.manifest.tasks[task].head).main_metric


def main_columns(one: Scored) -> list[str]:
    """The metrics that are shown of a task: its head's, the main one on each grouping, the one that chose best."""
    shown: list[str | None] = [*one.facts.reported]
    shown += [f"{grouping}/{one.facts.main_metric}" for grouping in one.tables if grouping]
    shown += [one.facts.main_metric, selected(one.result, one.task)]
    return [name for name in dict.fromkeys(shown) if name is not None and name in one.metrics]


def task_tables(found: Sequence[Scored], split: str) -> list[Table]:
    """One table a task: a row for each run and checkpoint."""
    return [_task_table(task, [one for one in found if one.task == task], split) for task in _tasks(found)]


def _task_table(task: str, found: Sequence[Scored], split: str) -> Table:
    counts = sorted({one.rows for one in found})
    columns = list(dict.fromkeys(name for one in found for name in main_columns(one)))
    uneven = len(counts) > 1
    rows: list[tuple[Cell, ...]] = []
    for which, one in _together(found):
        figures: list[Cell] = [_figure(one, name) for name in columns]
        rows.append((one.result.name, which, one.step, *([one.rows] if uneven else []), *figures))
    notes: list[str] = []
    if uneven:
        notes.append(WarningNote("the runs were scored on different numbers of rows, so their figures are not comparable"))
    for result in {one.result.name: one.result for one in found}.values():
        if chooser := chosen_by_other(result, task):
            notes.append(f"{result.name}: its best checkpoint was chosen by {chooser}")
        elif len(result.tasks) > 1 and not result.baseline:
            notes.append(f"{result.name}: its best checkpoint was chosen by {result.manifest.eval.select}")
    said: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for note in one.undefined:
            said.setdefault((one.result.name, note), []).append(one.which)
    notes += [f"{name} ({', '.join(which)}): {note}" for (name, note), which in said.items()]
    title = f"{task} on {split} ({rows_in_words(counts)})"
    return Table(title, ("run", "checkpoint", "step", *(["rows"] if uneven else []), *columns), tuple(rows), tuple(notes))


def label_tables(found: Sequence[Scored], split: str) -> list[Table]:
    """For each run and task the figures by label at the best checkpoint (else the first there is), and so for each grouping."""
    first: dict[tuple[str, str], Scored] = {}
    for one in found:
        first.setdefault((one.result.name, one.task), one)
    tables = []
    for one in first.values():
        for grouping, rows in one.tables.items():
            if not rows:
                continue
            columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))
            what = f"{one.task}, grouping {grouping}," if grouping else one.task
            checkpoint = one.which if one.which in ("best", "last") else f"step {one.which}"
            title = f"By label: {what} on {split} ({rows_in_words([one.rows])}), {checkpoint} checkpoint of {one.result.name}"
            cells = tuple(tuple(_cell(row.get(name)) for name in columns) for row in rows)
            tables.append(Table(title, columns, cells))
    return tables


def looks(results: Sequence[RunResult]) -> list[Table]:
    """How often each checkpoint was scored on test; no table where none ever was.

    Evaluations of other rows than the run's own are no looks at its test; they are counted in a note.
    """
    seen: dict[tuple[str, str], tuple[int, dict[str, None]]] = {}
    elsewhere: dict[str, int] = {}
    for result in results:
        for entry in result.evaluations:
            if entry["split"] == "test":
                own = [scored_own_rows(result.environment, entry, task) for task in entry["tasks"]]
                if own and not any(own):
                    elsewhere[result.name] = elsewhere.get(result.name, 0) + 1
                    continue
                key = (result.name, str(entry.get("checkpoint")))
                number, tasks = seen.get(key, (0, {}))
                seen[key] = (max(number + 1, entry.get("look", 1)), {**tasks, **dict.fromkeys(entry["tasks"])})
    if not seen:
        return []
    rows = tuple((name, checkpoint, number, ", ".join(tasks)) for (name, checkpoint), (number, tasks) in seen.items())
    often = any(number > 1 for number, _ in seen.values())
    note = WarningNote("what was chosen after several looks at test is tuned on test, and its test figures are optimistic")
    notes: list[str] = [note] if often else []
    notes += [f"{name}: {n} evaluation(s) of other rows are not counted" for name, n in elsewhere.items()]
    return [Table("Looks at test", ("run", "checkpoint", "looks", "tasks"), rows, tuple(notes))]


def rows_in_words(counts: Sequence[int]) -> str:
    """`200 rows`, or `200 to 5426 rows` where runs differ."""
    low, high = min(counts), max(counts)
    return f"{low} row{'' if low == 1 else 's'}" if low == high else f"{low} to {high} rows"


def _tasks(found: Sequence[Scored]) -> list[str]:
    return list(dict.fromkeys(one.task for one in found))


def _figure(one: Scored, name: str) -> Cell:
    """A metric's value: None where it is undefined, and in words where another head was used that does not give it."""
    figures: Mapping[str, Cell] = one.metrics
    return figures.get(name, "not measured")


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, (str, int, float)) else str(value)

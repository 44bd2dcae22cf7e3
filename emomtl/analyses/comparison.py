"""Two runs beside each other: what differs, and whether their scores differ by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.intervals import Estimate, SampledMetric
from emomtl.metrics.predictions import HeadMetric, TaskPredictions
from emomtl.metrics.significance import Comparison, compare
from emomtl.report.provenance import difference_table, manifest_values
from emomtl.run import Run, find_checkpoint
from emomtl.run.predictions import all_recorded_predictions, scored_own_rows

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head

UNDEFINED = "undefined: no verdict"
"""The verdict on a difference that is undefined, or whose interval is."""

SCORES = ("task", "split", "rows", "checkpoint", "metric")
COLUMNS = (
    *("task", "split", "metric", "difference", "95% interval", "p", "p (McNemar)"),
    "the difference is",
)


def comparison(one: Run, other: Run, heads: Mapping[str, Head]) -> list[Table]:
    """The verdict first, then what differs, and every score last.

    `heads` are those of the tasks that both runs have, by name.
    """
    names = (_name(one, other), _name(other, one))
    manifests = (manifest_values(one.manifest), manifest_values(other.manifest))
    equal = "the two manifests are equal"
    return [
        _predictions(one, other, heads),
        difference_table("Manifest", ("key", *names), *manifests, equal),
        *_environments(one, other, names),
        *_scores(one, other, names),
    ]


def _environments(one: Run, other: Run, names: tuple[str, str]) -> list[Table]:
    """Versions, device and plugins; then the rows that each task was trained on."""
    before, after = dict(one.environment), dict(other.environment)
    data, other_data = before.pop("data", {}), after.pop("data", {})
    rows: list[tuple[Cell, ...]] = []
    for task in data:
        if task in other_data:
            same = data[task] == other_data[task]
            rows.append((task, "the same rows" if same else "other rows: scores do not compare"))
    notes = () if rows else ("the two have no task in common",)
    return [
        difference_table("Environment", ("what", *names), before, after),
        Table("Data of common tasks", ("task", "trained on"), tuple(rows), notes),
    ]


def _scores(one: Run, other: Run, names: tuple[str, str]) -> list[Table]:
    """Every metric that both have, of one split, checkpoint and number of rows, as recorded."""
    rows: list[tuple[Cell, ...]] = []
    second = _latest(other)
    for key, metrics in _latest(one).items():
        split, which, task, number = key
        for metric, value in metrics.items():
            theirs = second.get(key, {}).get(metric)
            if "/" not in metric and value is not None and theirs is not None:
                rows.append((task, split, number, which, metric, value, theirs, theirs - value))
    note = "a difference of two runs; whether it is more than noise, see above"
    columns = (*SCORES, *names, "difference")
    return [Table("Scores", columns, tuple(rows), (note,))] if rows else []


def _latest(run: Run) -> dict[tuple[str, str, str, int], dict[str, float | None]]:
    """The newest metrics by (split, checkpoint, task, number of rows).

    Those of the run's own rows: evaluations with `--allow-changed data` may be of any.
    """
    latest = {}
    for entry in run.scores():
        for task, scores in entry["tasks"].items():
            if scored_own_rows(run.environment, entry, task):
                key = (entry["split"], str(entry["which"]), task, scores["rows"])
                latest[key] = scores["metrics"]
    return latest


def _predictions(one: Run, other: Run, heads: Mapping[str, Head]) -> Table:
    """The main metric of each common task, where both runs kept what their best predicted."""
    rows: list[tuple[Cell, ...]] = []
    unequal: list[str] = []
    notes = [
        "the interval is for another draw of rows; other seeds of the same manifests would differ "
        "too (`emomtl study`)"
    ]
    for task, head in heads.items():
        for split in ("validation", "test"):
            kept = [_kept(run, split, task) for run in (one, other)]
            equal = _of_equal_rows(kept)
            if equal is None:  # both may have been scored on the same rows that are not their own
                elsewhere = [_kept(run, split, task, own=False) for run in (one, other)]
                kept = [some or own for some, own in zip(elsewhere, kept, strict=True)]
                equal = _of_equal_rows(kept)
                if equal is not None:
                    others = f"{split} is of other rows than those of the runs' own corpora"
                    notes.append(f"{task}: {others}")
            if equal is not None:
                compared = paired(*equal, head)
                difference = compared.difference
                if difference.undefined:
                    metric = f"{task}: {head.main_metric} on {split}"
                    notes.append(f"{metric} is {difference.undefined_note}")
                interval, verdict = _judged(difference)
                p_values = (compared.p, compared.p_mcnemar)
                values = (head.main_metric, difference.value, interval, *p_values, verdict)
                rows.append((task, split, *values))
            elif all(kept):
                command = f"`emomtl eval RUN --split {split}` on both"
                unequal.append(f"{task}: the two kept answers of other rows of {split}: {command}")
    if not rows and not unequal:
        command = "`emomtl eval RUN --split test` on both"
        notes = [f"nothing is kept to compare row by row: {command} keeps it"]
    title = "Best checkpoints, row by row"
    return Table(title, COLUMNS, tuple(rows), (*notes, *unequal))


def _judged(difference: Estimate) -> tuple[Cell, str]:
    """The interval in words, and whether the difference is more than noise."""
    if difference.low is None or difference.high is None:
        return None, UNDEFINED
    beyond = difference.low > 0 or difference.high < 0
    verdict = "more than the noise of rows" if beyond else "within the noise of rows"
    return f"{difference.low:+.4f} to {difference.high:+.4f}", verdict


def _of_equal_rows(
    kept: Sequence[Sequence[TaskPredictions]],
) -> tuple[TaskPredictions, TaskPredictions] | None:
    """The first pair of predictions of the two runs for the same rows."""
    pairs = product(*kept)
    return next(((mine, theirs) for mine, theirs in pairs if mine.same_rows_as(theirs)), None)


def _kept(run: Run, split: str, task: str, *, own: bool = True) -> list[TaskPredictions]:
    """What the best checkpoint predicted on the run's own rows, or on others, the newest first."""
    checkpoint = find_checkpoint(run, "best").resolve().name
    kept = all_recorded_predictions(run, split, checkpoint, task, own=own)
    return [TaskPredictions(*one) for one in kept]


def paired(one: TaskPredictions, other: TaskPredictions, head: Head) -> Comparison:
    """The second less the first, by the head's main metric."""
    bounds = head.bounds(head.main_metric)
    sampled = SampledMetric(HeadMetric(head, head.main_metric), bounds=bounds)
    return compare(sampled, {0: other}, {0: one}, labels=head.answers == "labels")


def _name(run: Run, other: Run) -> str:
    """A run's name, with its folder where the two share it."""
    return run.name if run.name != other.name else f"{run.name} ({run.folder})"


def common_heads(one: Path, other: Path, trust: bool = False) -> tuple[Run, Run, dict[str, Head]]:
    """Both runs, opened, and the heads of their common tasks; EmomtlError where labels differ."""
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins

    opened = [open_run(folder, "best", Plugins.discover(trust)) for folder in (one, other)]
    heads: dict[str, Head] = {}
    for task, bound in opened[0].plan.tasks.items():
        theirs = opened[1].plan.tasks.get(task)
        if theirs is None:
            continue
        if bound.head.outputs(bound.taxonomy) != theirs.head.outputs(theirs.taxonomy):
            found = "the two runs answer with other labels"
            remedy = "compare runs of one version of the task"
            raise EmomtlError(Problem(f"tasks.{task}", found, remedy))
        heads[task] = bound.head
    return opened[0].run, opened[1].run, heads

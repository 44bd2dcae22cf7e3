"""Two runs beside each other: what differs, and whether their scores differ by more than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.intervals import Estimate, SampledMetric
from emomtl.metrics.predictions import TaskPredictions, metric_function
from emomtl.metrics.significance import Comparison, compare
from emomtl.report.provenance import difference_table, manifest_values
from emomtl.run import Run, find_checkpoint
from emomtl.run.answers import all_kept_answers, scored_own_rows

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head

UNDEFINED = "undefined: no verdict"
"""The verdict on a difference that is undefined, or whose interval is."""


def comparison(one: Run, other: Run, heads: Mapping[str, Head]) -> list[Table]:
    """The verdict first, then what differs, and every score last; `heads` are those of the tasks that both runs have, by name."""
    return [
        *_answers(one, other, heads),
        *_manifests(one, other),
        *_environments(one, other),
        *_scores(one, other),
    ]


def _manifests(one: Run, other: Run) -> Iterator[Table]:
    names = ("key", _name(one, other), _name(other, one))
    before, after = manifest_values(one.manifest), manifest_values(other.manifest)
    yield difference_table("Manifest", names, before, after, "the two manifests are equal")


def _environments(one: Run, other: Run) -> Iterator[Table]:
    """Versions, device and plugins; then the rows that each task was trained on."""
    before, after = (dict(run.environment) for run in (one, other))
    data = tuple(environment.pop("data", {}) for environment in (before, after))
    yield difference_table("Environment", ("what", _name(one, other), _name(other, one)), before, after)
    common = [task for task in data[0] if task in data[1]]
    said = tuple(
        (task, "the same rows" if data[0][task] == data[1][task] else "other rows: scores do not compare") for task in common
    )
    yield Table("Data of common tasks", ("task", "trained on"), said, () if common else ("the two have no task in common",))


def _scores(one: Run, other: Run) -> Iterator[Table]:
    """Every figure that both have, of one split, checkpoint and number of rows, as they were written down.

    Those of the runs' own rows: evaluations with `--allow-changed data` may be of any.
    """
    rows: list[tuple[Cell, ...]] = []
    first, second = (_latest(run) for run in (one, other))
    for (split, which, task, number), metrics in first.items():
        for metric, value in metrics.items() if (split, which, task, number) in second else ():
            theirs = second[split, which, task, number].get(metric)
            if "/" not in metric and value is not None and theirs is not None:
                rows.append((task, split, number, which, metric, value, theirs, theirs - value))
    columns = ("task", "split", "rows", "checkpoint", "metric", _name(one, other), _name(other, one), "difference")
    if rows:
        yield Table("Scores", columns, tuple(rows), ("a difference of two runs; whether it is more than noise, see above",))


def _latest(run: Run) -> dict[tuple[str, str, str, int], dict[str, float | None]]:
    """The newest figures of the run's own rows by (split, checkpoint, task, number of rows)."""
    return {
        (entry["split"], str(entry["which"]), task, scores["rows"]): scores["metrics"]
        for entry in run.scores()
        for task, scores in entry["tasks"].items()
        if scored_own_rows(run.environment, entry, task)
    }


def _answers(one: Run, other: Run, heads: Mapping[str, Head]) -> Iterator[Table]:
    """The main figure of each common task with an interval over rows, where both runs kept what their best answered."""
    rows: list[tuple[Cell, ...]] = []
    unequal: list[str] = []
    notes = ["the interval is for another draw of rows; other seeds of the same manifests would differ too (`emomtl study`)"]
    for task, head in heads.items():
        for split in ("validation", "test"):
            kept = [_kept(run, split, task) for run in (one, other)]
            equal = _of_equal_rows(kept)
            if equal is None:  # both may have been scored on the same rows that are not their own
                kept = [_kept(run, split, task, own=False) or mine for run, mine in zip((one, other), kept, strict=True)]
                equal = _of_equal_rows(kept)
                if equal is not None:
                    notes.append(f"{task}: {split} is of other rows than those of the runs' own corpora")
            if equal is None:
                if all(kept):
                    unequal.append(
                        f"{task}: the two kept answers of other rows of {split}: `emomtl eval RUN --split {split}` on both"
                    )
                continue
            found = paired(*equal, head)
            interval, verdict = _judged(found.difference)
            if found.difference.undefined:
                notes.append(_undefined(task, split, head, found.difference))
            rows.append((task, split, head.main_metric, found.difference.value, interval, found.p, found.p_mcnemar, verdict))
    if not rows and not unequal:
        notes = ["nothing is kept to compare row by row: `emomtl eval RUN --split test` on both keeps it"]
    columns = ("task", "split", "metric", "difference", "95% interval", "p", "p (McNemar)", "the difference is")
    yield Table("Best checkpoints, row by row", columns, tuple(rows), (*notes, *unequal))


def _judged(found: Estimate) -> tuple[Cell, str]:
    """The interval in words, and whether the difference is more than noise; no verdict without an interval."""
    if found.low is None or found.high is None:
        return None, UNDEFINED
    beyond = found.low > 0 or found.high < 0
    verdict = "more than the noise of rows" if beyond else "within the noise of rows"
    return f"{found.low:+.4f} to {found.high:+.4f}", verdict


def _undefined(task: str, split: str, head: Head, found: Estimate) -> str:
    """In how many samples the metric is undefined, and what follows."""
    said = "so there is no interval" if found.low is None else "which are left out"
    samples = found.undefined_samples
    return f"{task}: {head.main_metric} on {split} is undefined in {samples}, {said}"


def _of_equal_rows(kept: Sequence[Sequence[TaskPredictions]]) -> tuple[TaskPredictions, TaskPredictions] | None:
    """The first pair of answers of the two runs to the same rows."""
    return next(((mine, theirs) for mine, theirs in product(*kept) if mine.same_rows_as(theirs)), None)


def _kept(run: Run, split: str, task: str, *, own: bool = True) -> list[TaskPredictions]:
    """What the best checkpoint answered on the run's own rows, or on others, the newest first."""
    checkpoint = find_checkpoint(run, "best").resolve().name
    return [TaskPredictions(*kept) for kept in all_kept_answers(run, split, checkpoint, task, own=own)]


def paired(one: TaskPredictions, other: TaskPredictions, head: Head) -> Comparison:
    """The second less the first, by the head's main figure."""
    bounds = head.bounds(head.main_metric)
    sampled = SampledMetric(metric_function(head, head.main_metric), bounds=bounds)
    return compare(sampled, {0: other}, {0: one}, labels=head.answers == "labels")


def _name(run: Run, other: Run) -> str:
    """A run's name, with its folder where the two share it."""
    return run.name if run.name != other.name else f"{run.name} ({run.folder})"


def common_heads(one: Path, other: Path, trust: bool = False) -> tuple[Run, Run, dict[str, Head]]:
    """Both runs, opened, and the heads of the tasks that both have; EmomtlError where the labels of one differ."""
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins

    opened = [open_run(folder, "best", Plugins.discover(trust)) for folder in (one, other)]
    heads: dict[str, Head] = {}
    for task, bound in opened[0].plan.tasks.items():
        if task not in opened[1].plan.tasks:
            continue
        theirs = opened[1].plan.tasks[task]
        if bound.head.outputs(bound.taxonomy) != theirs.head.outputs(theirs.taxonomy):
            found = "the two runs answer with other labels"
            raise EmomtlError(Problem(f"tasks.{task}", found, "compare runs of one version of the task"))
        heads[task] = bound.head
    return opened[0].run, opened[1].run, heads

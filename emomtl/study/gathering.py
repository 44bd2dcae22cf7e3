"""From the runs of a study to its result: scores by row and seed, comparisons, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError
from emomtl.metrics.intervals import SampledMetric
from emomtl.metrics.predictions import HeadMetric, TaskPredictions
from emomtl.metrics.selection import selection_in_words
from emomtl.metrics.significance import Comparison, compare, judged
from emomtl.metrics.tuning import cross_fitted_decisions
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.predictions import recorded_predictions, scored_own_rows
from emomtl.run.tuned import tuning_of
from emomtl.study.jobs import stage_folders
from emomtl.study.other_tasks import add_other_tasks
from emomtl.study.result import RowResult, StudyResult

if TYPE_CHECKING:
    from emomtl.study.planning import PlannedRun, Scoring, StudyPlan

Entry = Mapping[str, Any]
"""An evaluation of a run, as `Run.scores` reads it."""


def gather(plan: StudyPlan, failed: Mapping[str, EmomtlError] | None = None) -> StudyResult:
    """The result as far as runs have come; `failed` are errors by identity. No run is changed."""
    study, against = plan.file.study, plan.file.against()
    rows = {}
    for table in plan.file.rows():
        runs, scoring = plan.of(table.name), plan.scoring[table.name]
        seeds = tuple(run.seed for run in runs)
        row = RowResult(table.name, seeds, scoring, against[table.name], table.published)
        for run in runs:
            _add_run(row, run)
            if failed and run.identity in failed:
                row.failed[run.seed] = str(failed[run.identity].problems[0].found)
        rows[row.name] = row
    reference = rows[plan.file.reference]
    if plan.tuned:
        tuned = _tuned_row(plan, reference)
        rows[tuned.name] = tuned
    _compare(rows, study.margin)
    scale, every = plan.file.scale_name, tuple(rows.values())
    return StudyResult(study.name, study.about, scale, reference, every, study.margin, plan.rates)


def _tuned_row(plan: StudyPlan, reference: RowResult) -> RowResult:
    """The reference's runs with a threshold tuned on validation for each label: what tuning is
    worth.
    """
    name = f"{reference.name}, thresholds tuned on validation"
    row = RowResult(name, reference.wanted, reference.scoring, reference.name)
    row.updates, row.examples = dict(reference.updates), dict(reference.examples)
    row.chosen_by = list(reference.chosen_by)
    tuned = replace(reference.scoring, metric=f"{reference.scoring.metric}_tuned_by_label")
    for planned in plan.of(reference.name):
        if planned.seed not in reference.predictions:
            continue
        run = Run.open(planned.folder)
        best = find_checkpoint(run, "best").resolve().name
        for split in ("validation", "test"):
            predictions = _predictions(tuned, run, split, best)
            if predictions is not None:
                scores = row.scores.setdefault((split, "best"), {})
                scores[planned.seed] = _score(reference.scoring, predictions)
                if split == "test":
                    row.predictions[planned.seed] = predictions
    return row


def _score(scoring: Scoring, predictions: TaskPredictions) -> float | None:
    """The metric of predictions, whose thresholds are tuned already; None where it is undefined."""
    value = HeadMetric(scoring.head, scoring.untuned)(predictions)
    return value if math.isfinite(value) else None


def _predictions(scoring: Scoring, run: Run, split: str, checkpoint: str) -> TaskPredictions | None:
    """A checkpoint's predictions on a split, for `Scoring.untuned`; None where they were not kept.

    For a tuned metric probabilities are decisions, 0 or 1, at the thresholds of this very run and
    checkpoint: tuned on its own validation rows, and on validation itself cross-fitted.
    """
    kept = recorded_predictions(run, split, checkpoint, scoring.target)
    if kept is None:
        return None
    targets, probabilities = kept
    if scoring.way is None:
        return TaskPredictions(targets, probabilities)
    if split == "validation":
        decisions = cross_fitted_decisions(targets, probabilities)
    else:
        tuning = tuning_of(run, checkpoint, scoring.target, scoring.head)
        if tuning is None:
            return None
        decisions = tuning.decisions(probabilities)
    return TaskPredictions(targets, decisions[scoring.way])


def _add_run(row: RowResult, planned: PlannedRun) -> None:
    """Add the scores of one run on its own rows, as far as it has come."""
    if not is_run(planned.folder):
        return
    run, target, seed = Run.open(planned.folder), planned.target, planned.seed
    chosen_by = selection_in_words(str(run.manifest.eval.select))
    if chosen_by not in row.chosen_by:
        row.chosen_by.append(chosen_by)
    scores = run.scores()
    add_other_tasks(row.others, run, scores, target, seed)
    trained, tested, has_other_rows = _evaluations(run, scores, target)
    if has_other_rows and seed not in row.elsewhere:
        row.elsewhere.append(seed)
    checkpoints: dict[str, str] = {}
    for entry in trained:
        checkpoints[entry["which"]] = entry["checkpoint"]
        _add_scores(row, run, seed, entry["which"], entry)
    for which, checkpoint in checkpoints.items():
        looks = [entry for entry in tested if entry["checkpoint"] == checkpoint]
        row.looks[seed] = max(row.looks.get(seed, 0), len(looks))
        for entry in looks:
            if "answers" in entry:
                _add_scores(row, run, seed, which, entry)
    predictions = _predictions(row.scoring, run, "test", checkpoints.get("best", ""))
    if predictions is not None:
        row.predictions[seed] = predictions
    if checkpoints:  # a run under way has had fewer updates than it will
        stages = [run, *map(Run.open, stage_folders(planned.folder))]
        row.updates[seed] = row.examples[seed] = 0
        for step in map(_last_step, stages):
            row.updates[seed] += int(step["updates"].get(target, 0))
            row.examples[seed] += int(step["counts"].get(target, 0))


def _evaluations(
    run: Run, scores: Sequence[Entry], target: str
) -> tuple[list[Entry], list[Entry], bool]:
    """Evaluations of the target on the run's own rows: in training, and on test by `eval`.

    The third says whether there is an evaluation of other test rows.
    """
    trained: list[Entry] = []
    tested: list[Entry] = []
    has_other_rows = False
    for entry in scores:
        if target not in entry["tasks"]:
            continue
        is_own = scored_own_rows(run.environment, entry, target)
        if is_own and entry.get("by") == "train":
            trained.append(entry)
        elif entry["split"] == "test" and not is_own:
            has_other_rows = True
        elif entry["split"] == "test" and entry.get("by") == "eval":
            tested.append(entry)
    return trained, tested, has_other_rows


def _add_scores(row: RowResult, run: Run, seed: int, which: str, entry: Entry) -> None:
    """Add the metric of an evaluation; one that the run did not write is taken of its predictions.

    Such is a metric of a newer emomtl.
    """
    metrics, split = entry["tasks"][row.scoring.target]["metrics"], entry["split"]
    if row.scoring.metric in metrics:
        value = metrics[row.scoring.metric]
    else:
        predictions = _predictions(row.scoring, run, split, entry["checkpoint"])
        if predictions is None:
            return
        value = _score(row.scoring, predictions)
    row.scores.setdefault((split, which), {})[seed] = value


def _last_step(run: Run) -> Entry:
    """The last logged step of a run."""
    last: Entry = {"updates": {}, "counts": {}}
    for event in run.events():
        if event.get("event") == "step":
            last = event
    return last


def _compare(rows: Mapping[str, RowResult], margin: float) -> None:
    """Estimate every row's metric on test with its interval, and compare it with its reference.

    p is corrected over the table. While seeds of a comparison are missing its row is untested: a
    verdict that may be looked at after each seed is wrong more often than it says.
    """
    compared: dict[str, Comparison] = {}
    for name in dict.fromkeys(row.scoring.name for row in rows.values()):
        alike = [row for row in rows.values() if row.scoring.name == name and row.predictions]
        if alike:
            compared |= _compare_alike(rows, alike)
    errors = {row.name for row in rows.values() if row.scoring.less_is_better}
    for name, comparison in judged(compared, errors=errors, margin=margin).items():
        row = rows[name]
        other = rows[str(row.against)]
        seed_count = len(set(row.wanted) & set(other.wanted))
        if comparison.seeds < seed_count:
            reason = f"{comparison.seeds} of {seed_count} seeds"
            comparison = replace(comparison, verdict="untested", reason=reason)
        row.comparison = comparison


def _compare_alike(
    rows: Mapping[str, RowResult], alike: Sequence[RowResult]
) -> dict[str, Comparison]:
    """Comparisons of rows of one metric, by row; their own estimates are set."""
    scoring = alike[0].scoring
    bounds = scoring.head.bounds(scoring.untuned)
    sampled = SampledMetric(HeadMetric(scoring.head, scoring.untuned), bounds=bounds)
    has_labels = scoring.head.answers == "labels"
    compared = {}
    for row in alike:
        try:
            row.own = sampled.estimate(list(row.predictions.values()))
            other = {} if row.against is None else rows[row.against].predictions
            if row.predictions.keys() & other.keys():
                compared[row.name] = compare(sampled, row.predictions, other, labels=has_labels)
        except EmomtlError as error:  # other test rows: nothing can be paired
            row.apart = error.problems[0].found
    return compared

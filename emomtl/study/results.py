"""What the runs of a study came to: figures by row and seed, spreads, comparisons with the reference, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError
from emomtl.metrics.intervals import SampledMetric
from emomtl.metrics.predictions import TaskPredictions, metric_function
from emomtl.metrics.selection import selection_in_words
from emomtl.metrics.significance import Comparison, compare, judged
from emomtl.metrics.tuning import cross_fitted_decisions
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.answers import kept_answers, scored_own_rows
from emomtl.run.tuned import tuning_of
from emomtl.study.auxiliaries import add_other_tasks
from emomtl.study.performing import stage_folders
from emomtl.study.result import RowResult, StudyResult

if TYPE_CHECKING:
    from emomtl.study.planning import PlannedRun, Scoring, StudyPlan


def gather(plan: StudyPlan, failed: Mapping[str, EmomtlError] | None = None) -> StudyResult:
    """The table as far as its runs have come; runs are read, never changed."""
    study = plan.file.study
    rows, against = [], plan.file.against()
    for table in plan.file.rows():
        runs = plan.of(table.name)
        scoring, number = plan.scoring[table.name], tuple(run.seed for run in runs)
        row = RowResult(table.name, number, scoring, against[table.name], table.published)
        for run in runs:
            _add(row, run)
            if failed and run.identity in failed:
                row.failed[run.seed] = str(failed[run.identity].problems[0].found)
        rows.append(row)
    reference = next(row for row in rows if row.name == plan.file.reference)
    if plan.tuned:
        rows.append(_tuned(plan, reference))
    _compare(rows, study.margin)
    return StudyResult(study.name, study.about, plan.file.scale_name, reference, tuple(rows), study.margin, plan.rates)


def _tuned(plan: StudyPlan, reference: RowResult) -> RowResult:
    """The reference's own runs, answered at thresholds that were tuned a label on validation: what tuning alone is worth."""
    name = f"{reference.name}, thresholds tuned on validation"
    row = RowResult(name, reference.wanted, reference.scoring, reference.name)
    row.updates, row.examples = dict(reference.updates), dict(reference.examples)
    row.chosen_by = list(reference.chosen_by)
    figure = metric_function(reference.scoring.head, reference.scoring.metric)
    scoring = replace(reference.scoring, metric=f"{reference.scoring.metric}_tuned_by_label")
    for planned in plan.of(reference.name):
        if planned.seed not in reference.answers:
            continue
        run = Run.open(planned.folder)
        best = find_checkpoint(run, "best").resolve().name
        found = {split: _scored(scoring, run, split, best) for split in ("validation", "test")}
        for split, answers in found.items():
            if answers is not None:
                value = figure(answers)
                row.figures.setdefault((split, "best"), {})[planned.seed] = value if math.isfinite(value) else None
        if (tested := found["test"]) is not None:
            row.answers[planned.seed] = tested
    return row


def _scored(scoring: Scoring, run: Run, split: str, checkpoint: str) -> TaskPredictions | None:
    """What a checkpoint answered on a split, as `Scoring.untuned` is to be taken of it; None where it was not kept.

    For a tuned metric probabilities are decisions, 0 or 1, at the thresholds of this very run and checkpoint: tuned on its own
    validation rows, and on validation itself cross-fitted.
    """
    kept = kept_answers(run, split, checkpoint, scoring.target)
    if kept is None or scoring.way is None:
        return None if kept is None else TaskPredictions(*kept)
    targets, probabilities = kept
    if split == "validation":
        return TaskPredictions(targets, cross_fitted_decisions(targets, probabilities)[scoring.way])
    tuning = tuning_of(run, checkpoint, scoring.target, scoring.head)
    return None if tuning is None else TaskPredictions(targets, tuning.decisions(probabilities)[scoring.way])


def _add(row: RowResult, planned: PlannedRun) -> None:
    """The figures of one run, as far as it has come: those of its own rows, whatever else it was scored on.

    A metric that the run did not write down, such as one of a newer emomtl, is taken of the answers that it kept.
    """
    if not is_run(planned.folder):
        return
    run, target, seed = Run.open(planned.folder), planned.target, planned.seed
    chosen_by = selection_in_words(str(run.manifest.eval.select))
    if chosen_by not in row.chosen_by:
        row.chosen_by.append(chosen_by)
    scores = run.scores()
    add_other_tasks(row.others, run, scores, target, seed)
    every = [entry for entry in scores if target in entry["tasks"]]
    own = [entry for entry in every if scored_own_rows(run.environment, entry, target)]
    if any(entry["split"] == "test" for entry in every if entry not in own):
        row.elsewhere.append(seed)
    trained = [entry for entry in own if entry.get("by") == "train"]
    checkpoints = {str(entry["which"]): entry["checkpoint"] for entry in trained}
    tested = [entry for entry in own if entry.get("by") == "eval" and entry["split"] == "test"]
    for which, checkpoint in checkpoints.items():
        mine = [entry for entry in trained if entry["which"] == which]
        seen = [entry for entry in tested if entry["checkpoint"] == checkpoint]
        for entry in [*mine, *(one for one in seen if "answers" in one)]:
            metrics, split = entry["tasks"][target]["metrics"], entry["split"]
            if row.scoring.metric in metrics:
                row.figures.setdefault((split, which), {})[seed] = metrics[row.scoring.metric]
            elif (answers := _scored(row.scoring, run, split, checkpoint)) is not None:
                value = metric_function(row.scoring.head, row.scoring.untuned)(answers)
                row.figures.setdefault((split, which), {})[seed] = value if math.isfinite(value) else None
        row.looks[seed] = max(row.looks.get(seed, 0), len(seen))
    if (answers := _scored(row.scoring, run, "test", checkpoints.get("best", ""))) is not None:
        row.answers[seed] = answers
    if checkpoints:  # a run under way has had fewer updates than it will
        counted = [_counts(one, target) for one in (run, *map(Run.open, stage_folders(planned.folder)))]
        row.updates[seed] = sum(updates for updates, _ in counted)
        row.examples[seed] = sum(examples for _, examples in counted)


def _counts(run: Run, target: str) -> tuple[int, int]:
    """The updates and the examples of a task in a run, as its last log has them."""
    found = (0, 0)
    for event in run.events():
        if event.get("event") == "step":
            found = (int(event["updates"].get(target, 0)), int(event["counts"].get(target, 0)))
    return found


def _compare(rows: Sequence[RowResult], margin: float) -> None:
    """Every row's own interval on test, and its comparison with the row that it stands against.

    p is corrected over the table. While seeds of a comparison are missing its row is untested: a
    verdict that may be looked at after each seed is wrong more often than it says.
    """
    compared: dict[str, Comparison] = {}
    named = {row.name: row for row in rows}
    for name in dict.fromkeys(row.scoring.name for row in rows):
        some = [row for row in rows if row.scoring.name == name and row.answers]
        if not some:
            continue
        scoring = some[0].scoring
        bounds = scoring.head.bounds(scoring.untuned)
        sampled = SampledMetric(metric_function(scoring.head, scoring.untuned), bounds=bounds)
        for row in some:
            try:
                row.own = sampled.estimate(list(row.answers.values()))
                if row.against is not None and set(row.answers) & set(named[row.against].answers):
                    other = named[row.against].answers
                    labels = scoring.head.answers == "labels"
                    compared[row.name] = compare(sampled, row.answers, other, labels=labels)
            except EmomtlError as error:  # other test rows: nothing is paired, so nothing is said
                row.apart = error.problems[0].found
    errors = {row.name for row in rows if row.scoring.less_is_better}
    done = judged(compared, errors=errors, margin=margin)
    for row in rows:
        row.comparison = done.get(row.name)
        if row.comparison is None or row.against is None:
            continue
        wanted = [seed for seed in row.wanted if seed in named[row.against].wanted]
        seeds = row.comparison.seeds
        if seeds < len(wanted):
            reason = f"{seeds} of {len(wanted)} seeds"
            row.comparison = replace(row.comparison, verdict="untested", reason=reason)

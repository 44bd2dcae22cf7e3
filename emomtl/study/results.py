"""What the runs of a study came to: figures by row and seed, spreads, comparisons with the reference, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError
from emomtl.metrics.selection import selection_in_words
from emomtl.metrics.significance import (
    Answers,
    Comparison,
    Estimate,
    Sampled,
    Spread,
    as_json,
    compare,
    figure_of,
    judged,
    spread,
)
from emomtl.metrics.tuning import cross_fitted_decisions
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.answers import kept_answers, scored_own_rows
from emomtl.run.tuned import tuning_of
from emomtl.study.auxiliaries import OtherTask, add_other_tasks
from emomtl.study.performing import stage_folders

if TYPE_CHECKING:
    from emomtl.study.planning import PlannedRun, Scoring, StudyPlan

COLUMNS = (("validation", "best"), ("validation", "last"), ("test", "best"), ("test", "last"))
"""The figures of a row: which split, with which checkpoint. Best is chosen on validation alone."""


@dataclass
class RowResult:
    """One row: its figures by (split, checkpoint) and seed, and the comparison of its best checkpoint on test.

    `updates` and `examples` are what the target had: steps with a labelled row of it, and such rows, by seed.
    `own` is the figure of the best checkpoint on test with its interval; `published` is what others report of it.
    `against` is the row that it is compared with; None for one that others are compared with.
    A metric that is undefined is None in `figures`. `looks` tells how often a checkpoint of a
    seed's run was scored on test, `elsewhere` the seeds whose runs were scored on other rows too,
    and `apart` why there is no interval or no comparison, where one is not even tried. `chosen_by`
    is what chose the best checkpoint of the row's runs, as `eval.select` names it, and `others` are
    the scores of the tasks that were trained beside the target.
    """

    name: str
    wanted: tuple[int, ...]
    scoring: Scoring
    against: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    figures: dict[tuple[str, str], dict[int, float | None]] = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    examples: dict[int, int] = field(default_factory=dict)
    answers: dict[int, Answers] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    looks: dict[int, int] = field(default_factory=dict)
    elsewhere: list[int] = field(default_factory=list)
    apart: str = ""
    chosen_by: list[str] = field(default_factory=list)
    others: dict[str, OtherTask] = field(default_factory=dict)
    own: Estimate | None = None
    comparison: Comparison | None = None

    @property
    def test_rows(self) -> int:
        """The rows of test; 0 before it is scored."""
        return len(next(iter(self.answers.values()), ()))

    def spread(self, column: tuple[str, str]) -> Spread | None:
        """Mean and deviation over the seeds that are there; None where there are none, or one is undefined."""
        found = list(self.figures.get(column, {}).values())
        known = [value for value in found if value is not None]
        return spread(known) if known and len(known) == len(found) else None

    def undefined(self, column: tuple[str, str]) -> list[int]:
        """The seeds that were scored, and whose metric is undefined."""
        return [seed for seed, value in self.figures.get(column, {}).items() if value is None]

    @property
    def state(self) -> str:
        """Whether the row is whole, partly there, or pending."""
        there = len(self.figures.get(("validation", "best"), {}))
        if there == len(self.wanted):
            return "whole"
        return f"{there} of {len(self.wanted)} seeds" if there else "failed" if self.failed else "pending"


@dataclass(frozen=True)
class StudyResult:
    """The table of a study."""

    name: str
    about: str
    scale: str | None
    reference: RowResult
    rows: tuple[RowResult, ...]
    margin: float = 0.0
    rates: Mapping[str, Any] | None = None

    @property
    def figures(self) -> list[str]:
        """What rows are scored by, each once."""
        return list(dict.fromkeys(row.scoring.name for row in self.rows))

    @property
    def several_references(self) -> bool:
        """Whether rows are compared with different ones."""
        return len({row.against for row in self.rows} - {None}) > 1

    def as_json(self) -> dict[str, Any]:
        """The table as JSON: figures by row, seed, split and checkpoint, with comparisons."""
        rows = [
            {
                "row": row.name,
                "state": row.state,
                "target": row.scoring.target,
                "metric": row.scoring.metric,
                "test_rows": row.test_rows,
                "seeds": list(row.wanted),
                "target_updates": row.updates,
                "target_examples": row.examples,
                "against": row.against,
                "less_is_better": row.scoring.less_is_better,
                "figures": {f"{split}/{which}": row.figures.get((split, which), {}) for split, which in COLUMNS},
                "chosen_by": row.chosen_by,
                "other_tasks": {task: other.as_json() for task, other in row.others.items()},
                "own": as_json(row.own) if row.own else None,
                "published": dict(row.published),
                "comparison": as_json(row.comparison) if row.comparison else None,
                "not_compared": row.apart or None,
                "looks_at_test": row.looks,
                "failed": row.failed,
            }
            for row in self.rows
        ]
        return {
            "study": self.name,
            "scale": self.scale,
            "target": self.reference.scoring.target,
            "metric": self.reference.scoring.metric,
            "reference": self.reference.name,
            "less_is_better": self.reference.scoring.less_is_better,
            "test_rows": self.reference.test_rows,
            "margin": self.margin,
            "rates": self.rates,
            "rows": rows,
        }


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
    figure = figure_of(reference.scoring.head, reference.scoring.metric)
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


def _scored(scoring: Scoring, run: Run, split: str, checkpoint: str) -> Answers | None:
    """What a checkpoint answered on a split, as `Scoring.untuned` is to be taken of it; None where it was not kept.

    For a tuned metric probabilities are decisions, 0 or 1, at the thresholds of this very run and checkpoint: tuned on its own
    validation rows, and on validation itself cross-fitted.
    """
    kept = kept_answers(run, split, checkpoint, scoring.target)
    if kept is None or scoring.way is None:
        return None if kept is None else Answers(*kept)
    targets, probabilities = kept
    if split == "validation":
        return Answers(targets, cross_fitted_decisions(targets, probabilities)[scoring.way])
    tuning = tuning_of(run, checkpoint, scoring.target, scoring.head)
    return None if tuning is None else Answers(targets, tuning.decisions(probabilities)[scoring.way])


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
                value = figure_of(row.scoring.head, row.scoring.untuned)(answers)
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
        sampled = Sampled(figure_of(scoring.head, scoring.untuned), bounds=bounds)
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

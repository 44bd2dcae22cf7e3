"""What the runs of a study came to: figures by row and seed, spreads, comparisons with the reference, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.analysis.calibration import fit_thresholds, moved
from emomtl.errors import EmomtlError
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.answers import kept_answers
from emomtl.statistics import (
    RESAMPLES,
    Answers,
    Comparison,
    Figure,
    Sampled,
    Spread,
    compare,
    figure_of,
    judged,
    resamples,
    spread,
)

if TYPE_CHECKING:
    from emomtl.study.planning import PlannedRun, StudyPlan

COLUMNS = (("validation", "best"), ("validation", "last"), ("test", "best"), ("test", "last"))
"""The figures of a row: which split, with which checkpoint. Best is chosen on validation alone."""


@dataclass
class RowResult:
    """One row: its figures by (split, checkpoint) and seed, and the comparison of its best checkpoint on test."""

    name: str
    wanted: tuple[int, ...]
    figures: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    answers: dict[int, Answers] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    comparison: Comparison | None = None

    def spread(self, column: tuple[str, str]) -> Spread | None:
        """Mean and deviation over the seeds that are there; None where there are none."""
        found = list(self.figures.get(column, {}).values())
        return spread(found) if found else None

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
    target: str
    metric: str
    reference: str
    less_is_better: bool
    rows: tuple[RowResult, ...]
    test_rows: int

    def as_json(self) -> dict[str, Any]:
        """The table as JSON: figures by row, seed, split and checkpoint, with comparisons."""
        rows = [
            {
                "row": row.name,
                "state": row.state,
                "seeds": list(row.wanted),
                "target_updates": row.updates,
                "figures": {f"{split}/{which}": row.figures.get((split, which), {}) for split, which in COLUMNS},
                "comparison": asdict(row.comparison) if row.comparison else None,
                "failed": row.failed,
            }
            for row in self.rows
        ]
        return {
            "study": self.name,
            "scale": self.scale,
            "target": self.target,
            "metric": self.metric,
            "reference": self.reference,
            "less_is_better": self.less_is_better,
            "test_rows": self.test_rows,
            "rows": rows,
        }


def gather(plan: StudyPlan, failed: Mapping[str, EmomtlError] | None = None) -> StudyResult:
    """The table as far as its runs have come; runs are read, never changed."""
    study = plan.file.study
    rows = []
    for table in plan.file.rows():
        runs = plan.of(table.name)
        row = RowResult(table.name, tuple(run.seed for run in runs))
        for run in runs:
            _add(row, run, plan)
            if failed and run.identity in failed:
                row.failed[run.seed] = str(failed[run.identity].problems[0].found)
        rows.append(row)
    reference = next(row for row in rows if row.name == plan.file.reference)
    figure = figure_of(plan.head, plan.metric)
    if plan.tuned:
        rows.append(_tuned(plan, reference, figure))
    _compare(rows, reference, figure, plan)
    sizes = [len(answers) for row in rows for answers in row.answers.values()]
    return StudyResult(
        study.name,
        study.about,
        plan.file.scale_name,
        study.target,
        plan.metric,
        reference.name,
        plan.head.less_is_better(plan.metric),
        tuple(rows),
        sizes[0] if sizes else 0,
    )


def _tuned(plan: StudyPlan, reference: RowResult, figure: Figure) -> RowResult:
    """The reference's own runs, answered at thresholds that were tuned a label on validation: what tuning alone is worth."""
    row = RowResult(f"{reference.name}, thresholds tuned on validation", reference.wanted, updates=dict(reference.updates))
    for planned in plan.of(reference.name):
        test = reference.answers.get(planned.seed)
        if test is None:
            continue
        run = Run.open(planned.folder)
        kept = kept_answers(run, "validation", find_checkpoint(run, "best").resolve().name, plan.file.study.target)
        if kept is None:
            continue
        targets, probabilities = kept
        values = fit_thresholds(probabilities, targets, "per-label").values
        row.answers[planned.seed] = Answers(test.targets, moved(test.probabilities, values))
        for split, answers in (
            ("validation", Answers(targets, moved(probabilities, values))),
            ("test", row.answers[planned.seed]),
        ):
            if not math.isnan(value := figure(answers)):
                row.figures.setdefault((split, "best"), {})[planned.seed] = value
    return row


def _add(row: RowResult, planned: PlannedRun, plan: StudyPlan) -> None:
    """The figures of one run, as far as it has come."""
    if not is_run(planned.folder):
        return
    run, target = Run.open(planned.folder), plan.file.study.target
    figures = [
        (entry, value)
        for entry in run.scores()
        if (value := entry["tasks"].get(target, {}).get("metrics", {}).get(plan.metric)) is not None
    ]
    checkpoints = {str(entry["which"]): entry["checkpoint"] for entry, _ in figures if entry.get("by") == "train"}
    for which, checkpoint in checkpoints.items():
        for entry, value in figures:
            scored = entry.get("by") == "eval" and entry["split"] == "test" and "answers" in entry
            if entry["checkpoint"] == checkpoint and (scored or (entry.get("by") == "train" and entry["which"] == which)):
                row.figures.setdefault((entry["split"], which), {})[planned.seed] = value
    if (answers := kept_answers(run, "test", checkpoints.get("best", ""), target)) is not None:
        row.answers[planned.seed] = Answers(*answers)
    for event in run.events() if checkpoints else ():  # a run under way has had fewer updates than it will
        if event.get("event") == "step":
            row.updates[planned.seed] = int(event["updates"].get(target, 0))


def _compare(rows: Sequence[RowResult], reference: RowResult, figure: Figure, plan: StudyPlan) -> None:
    """Every row that has a seed in common with the reference, compared on test; p is corrected over the table."""
    if not reference.answers:
        return
    sampled = Sampled(figure, resamples(len(next(iter(reference.answers.values()))), RESAMPLES, seed=0))
    found = {
        row.name: compare(sampled, row.answers, reference.answers, labels=plan.head.answers == "labels")
        for row in rows
        if row is not reference and set(row.answers) & set(reference.answers)
    }
    done = judged(found, less=plan.head.less_is_better(plan.metric))
    for row in rows:
        row.comparison = done.get(row.name)

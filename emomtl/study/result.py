"""What a study has as its result: rows with their metrics by seed, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.metrics.intervals import Estimate, Spread, spread
from emomtl.metrics.predictions import TaskPredictions
from emomtl.metrics.significance import Comparison

if TYPE_CHECKING:
    from emomtl.study.planning import Scoring

Scores = dict[tuple[str, str], dict[int, float | None]]
"""A metric by (split, checkpoint) and seed; None where it is undefined."""


@dataclass
class OtherTask:
    """A task of a row that is not its target: its main metric, and what it came to."""

    metric: str
    scores: Scores = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The metric, and its values by split, checkpoint and seed."""
        return {"metric": self.metric, "scores": {"/".join(column): by_seed for column, by_seed in self.scores.items()}}


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
    answers: dict[int, TaskPredictions] = field(default_factory=dict)
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
                "own": asdict(row.own) if row.own else None,
                "published": dict(row.published),
                "comparison": asdict(row.comparison) if row.comparison else None,
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

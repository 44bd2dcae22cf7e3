"""A study's result: rows with their metrics by seed, comparisons and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.metrics.intervals import Estimate, Spread, spread
from emomtl.metrics.predictions import TaskPredictions
from emomtl.metrics.significance import Comparison

if TYPE_CHECKING:
    from emomtl.study.planning import Scoring

COLUMNS = (("validation", "best"), ("validation", "last"), ("test", "best"), ("test", "last"))
"""The columns of a row: which split, with which checkpoint. Best is chosen on validation alone."""

Scores = dict[tuple[str, str], dict[int, float | None]]
"""A metric by (split, checkpoint) and seed; None where it is undefined."""


def _as_json(scores: Scores) -> dict[str, dict[int, float | None]]:
    return {"/".join(column): by_seed for column, by_seed in scores.items()}


@dataclass
class OtherTask:
    """A task that a row trains beside its target, with its main metric and scores."""

    metric: str
    scores: Scores = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The metric, and its values by split, checkpoint and seed."""
        return {"metric": self.metric, "scores": _as_json(self.scores)}


@dataclass
class RowResult:
    """One row: its scores, and the comparison of its best checkpoint on test with another row's.

    `wanted` are its seeds. `against` is the row that it is compared with; None for a reference.
    `published` is what others report of the metric, by who they are. `updates` are the steps with
    labelled rows of the target, and `examples` such rows, by seed. `predictions` are those of the
    best checkpoint on test, and `own` is its metric there with an interval. `looks` are how often a
    checkpoint of a seed's run was scored on test, `elsewhere` the seeds whose runs were scored on
    other test rows too, and `apart` is why no interval or comparison can be made. `chosen_by` is
    what chose the best checkpoints, as `eval.select` names it. `others` are the tasks that were
    trained beside the target.
    """

    name: str
    wanted: tuple[int, ...]
    scoring: Scoring
    against: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    scores: Scores = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    examples: dict[int, int] = field(default_factory=dict)
    predictions: dict[int, TaskPredictions] = field(default_factory=dict)
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
        return len(next(iter(self.predictions.values()), ()))

    @property
    def mean_examples(self) -> float | None:
        """The target's labelled examples, the mean over seeds; None before a run has ended."""
        return sum(self.examples.values()) / len(self.examples) if self.examples else None

    def spread(self, column: tuple[str, str]) -> Spread | None:
        """Mean and deviation over seeds; None where there are none, or one is undefined."""
        scores = self.scores.get(column, {})
        if not scores or self.undefined(column):
            return None
        return spread([value for value in scores.values() if value is not None])

    def undefined(self, column: tuple[str, str]) -> list[int]:
        """The seeds that were scored, and whose metric is undefined."""
        return [seed for seed, value in self.scores.get(column, {}).items() if value is None]

    @property
    def state(self) -> str:
        """Whether the row is whole, partly there, failed or pending."""
        ended = len(self.scores.get(("validation", "best"), {}))
        if ended == len(self.wanted):
            return "whole"
        if ended:
            return f"{ended} of {len(self.wanted)} seeds"
        if self.failed:
            return "failed"
        return "pending"

    def as_json(self) -> dict[str, Any]:
        """The row as an object of `result.json`."""
        return {
            "row": self.name,
            "state": self.state,
            "target": self.scoring.target,
            "metric": self.scoring.metric,
            "test_rows": self.test_rows,
            "seeds": list(self.wanted),
            "target_updates": self.updates,
            "target_examples": self.examples,
            "against": self.against,
            "less_is_better": self.scoring.less_is_better,
            "figures": _as_json({column: self.scores.get(column, {}) for column in COLUMNS}),
            "chosen_by": self.chosen_by,
            "other_tasks": {task: other.as_json() for task, other in self.others.items()},
            "own": asdict(self.own) if self.own else None,
            "published": dict(self.published),
            "comparison": asdict(self.comparison) if self.comparison else None,
            "not_compared": self.apart or None,
            "looks_at_test": self.looks,
            "failed": self.failed,
        }


@dataclass(frozen=True)
class StudyResult:
    """The rows of a study, with the reference among them."""

    name: str
    about: str
    scale: str | None
    reference: RowResult
    rows: tuple[RowResult, ...]
    margin: float = 0.0
    rates: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        """The study's name, with its scale."""
        return f"{self.name}, scale {self.scale}" if self.scale else self.name

    @property
    def metrics(self) -> list[str]:
        """What rows are scored by, each once."""
        return list(dict.fromkeys(row.scoring.name for row in self.rows))

    @property
    def by_name(self) -> dict[str, RowResult]:
        """The rows by name."""
        return {row.name: row for row in self.rows}

    @property
    def metric_in_words(self) -> str:
        """What the rows are scored by, in words."""
        return self.metrics[0] if len(self.metrics) == 1 else "each row's figure"

    @property
    def has_comparisons(self) -> bool:
        """Whether any row is to be compared with another."""
        return any(row.against is not None for row in self.rows)

    @property
    def several_references(self) -> bool:
        """Whether rows are compared with different ones."""
        return len({row.against for row in self.rows} - {None}) > 1

    def as_json(self) -> dict[str, Any]:
        """The content of `result.json`: metrics by row, seed, split and checkpoint, with
        comparisons.
        """
        reference = self.reference
        return {
            "study": self.name,
            "scale": self.scale,
            "target": reference.scoring.target,
            "metric": reference.scoring.metric,
            "reference": reference.name,
            "less_is_better": reference.scoring.less_is_better,
            "test_rows": reference.test_rows,
            "margin": self.margin,
            "rates": self.rates,
            "rows": [row.as_json() for row in self.rows],
        }

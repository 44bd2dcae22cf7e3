"""Rates chosen for each row on validation: every row runs one grid, and test is never scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.selection import selecting_task
from emomtl.run import Run, is_run
from emomtl.safety.files import write_json
from emomtl.study.models import RatesTable, RateTable
from emomtl.study.planning import PlannedRun, Planner, Scoring, StudyPlan, StudyRequest, same_runs

NAME = "rates.json"
"""The file in a study's folder that says what was tried for each row, and what was chosen."""

TUNED_KEYS = ("train.lr", "train.head_lr")


@dataclass(frozen=True)
class Trial:
    """One run of the grid: a row with some rates and a seed."""

    row: str
    rates: RateTable
    run: PlannedRun


@dataclass(frozen=True)
class Grid:
    """All runs that choose the rates of a study; in `plan` they are rows of their own."""

    table: RatesTable
    trials: tuple[Trial, ...]
    plan: StudyPlan


@dataclass(frozen=True)
class Choice:
    """The rates that a row was tried with on validation, and the chosen ones.

    Chosen are those with the best mean over seeds, the first of equal ones; `tried` are the values
    of the metric by rates and seed.
    """

    row: str
    metric: str
    chosen: RateTable
    tried: Mapping[str, Mapping[int, float | None]]
    at_edge: bool

    def as_json(self) -> dict[str, Any]:
        """The choice, and every value behind it."""
        return {
            "row": self.row,
            "metric": self.metric,
            "chosen": self.chosen.train,
            "name": self.chosen.name,
            "at_edge": self.at_edge,
            "validation": {name: dict(by_seed) for name, by_seed in self.tried.items()},
        }


def plan_grid(request: StudyRequest) -> Grid:
    """Compose every run of the grid, with manifests below `rates/` in the study's folder.

    Every row is tried with the same rates and seeds, and with as many updates as it has in the
    table. A row that starts after another is tried after a trial of that one with the same rates.
    EmomtlError with everything that is wrong.
    """
    file, table = request.file, request.file.rates
    assert table is not None
    for override in request.overrides:
        if override.partition("=")[0].strip() in TUNED_KEYS:
            found, remedy = "the study chooses its rates itself", "or give `--rates fixed`, too"
            raise EmomtlError(Problem(f"--set {override}", found, remedy))
    trials: list[Trial] = []
    scoring: dict[str, Scoring] = {}
    sources: dict[str, PlannedRun] = {}
    for number, rates in enumerate(table.grid, start=1):
        by_row = {row.name: rates.train for row in file.rows()}
        folder = request.folder / "rates" / str(number)
        planner = Planner(request, folder, by_row, trial_seeds=table.seeds)
        runs = planner.plan()
        problems = planner.problems or same_runs(file, runs, planner.scoring)
        if problems:
            raise EmomtlError(*problems)
        for run in runs:
            trials.append(Trial(run.row, rates, run))
        for row, row_scoring in planner.scoring.items():
            scoring[_trial_name(row, rates)] = row_scoring
        sources |= {run.identity: run for run in planner.source_runs()}
    runs = [replace(trial.run, row=_trial_name(trial.row, trial.rates)) for trial in trials]
    plan = StudyPlan(file, request.folder, scoring, tuple(runs), tuple(sources.values()))
    return Grid(table, tuple(trials), plan)


def _trial_name(row: str, rates: RateTable) -> str:
    return f"{row}, {rates.name}"


def choose(grid: Grid) -> list[Choice] | None:
    """The choice of every row, in their order; None while runs of the grid are missing.

    The value of a trial is that of its best checkpoint on validation, by the metric that chose the
    checkpoint where it is one of the row's target. EmomtlError where a row has no rates with which
    the metric is defined for every seed.
    """
    choices = []
    for row in dict.fromkeys(trial.row for trial in grid.trials):
        tried: dict[str, dict[int, float | None]] = {}
        metric = ""
        for trial in grid.trials:
            if trial.row == row:
                scored = _validated(trial, grid.plan.scoring[_trial_name(row, trial.rates)])
                if scored is None:
                    return None
                metric, value = scored
                tried.setdefault(trial.rates.name, {})[trial.run.seed] = value
        choices.append(_choice(grid, row, metric, tried))
    return choices


def _validated(trial: Trial, scoring: Scoring) -> tuple[str, float | None] | None:
    """The metric that a trial is judged by, and its value; None where the run has not ended."""
    if not is_run(trial.run.folder):
        return None
    run = Run.open(trial.run.folder)
    select, metric = str(run.manifest.eval.select), scoring.metric
    if selecting_task(select) == scoring.target:
        metric = select.partition("/")[2]
    for entry in run.scores():
        evaluation = (entry.get("by"), entry.get("which"), entry["split"])
        if evaluation == ("train", "best", "validation"):
            return metric, entry["tasks"][scoring.target]["metrics"].get(metric)
    return None


def _choice(
    grid: Grid, row: str, metric: str, tried: Mapping[str, Mapping[int, float | None]]
) -> Choice:
    scoring = grid.plan.scoring[_trial_name(row, grid.table.grid[0])]
    sign = 1
    if scoring.head.less_is_better(metric):
        sign = -1
    means = {}
    for name, by_seed in tried.items():
        values = [value for value in by_seed.values() if value is not None]
        if len(values) == len(by_seed):
            means[name] = sign * sum(values) / len(values)
    if not means:
        found = f"{metric} of '{row}' on validation is undefined with all rates of the grid"
        raise EmomtlError(Problem("rows", found, "another grid, or `--rates fixed`"))
    best = max(means, key=lambda name: means[name])  # the first of equal ones
    chosen = next(rates for rates in grid.table.grid if rates.name == best)
    learning_rates = [rates.lr for rates in grid.table.grid]
    at_edge = chosen.lr in (min(learning_rates), max(learning_rates))
    return Choice(row, f"{scoring.target}/{metric}", chosen, tried, at_edge)


def keep_choices(folder: Path, grid: Grid, choices: Sequence[Choice]) -> dict[str, Any]:
    """Write `rates.json` into the study's folder; returns its content."""
    content = {
        "grid": [rates.train for rates in grid.table.grid],
        "seeds": list(grid.table.seeds),
        "rows": [choice.as_json() for choice in choices],
    }
    write_json(folder / NAME, content)
    return content


def rates_notes(rates: Mapping[str, Any] | None) -> list[str]:
    """How the rates of a table were chosen, in words."""
    if rates is None:
        return [
            "rates are those of the rows' manifests: none was tuned for a row, which favours the "
            "rows that they suit"
        ]
    seeds = ", ".join(map(str, rates["seeds"]))
    metrics, choices, edges = {}, [], []
    for row in rates["rows"]:
        metrics[row["metric"]] = row["metric"]
        choices.append(f"{row['row']}: {row['name']}")
        if row["at_edge"]:
            edges.append(row["row"])
    chosen = "; ".join(choices)
    notes = [
        f"rates were chosen for each row on validation by {', '.join(metrics)}, with equal effort:"
        f" the best of {len(rates['grid'])}, each run with seed {seeds} ({chosen})"
    ]
    if edges:
        notes.append(
            "the best rate is the least or greatest of the grid, so that a wider grid may move it: "
            f"{', '.join(edges)}"
        )
    return notes

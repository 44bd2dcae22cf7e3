"""Rates chosen for each row of a study on validation: every row runs one grid, and never sees test while it is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.selection import selecting_task
from emomtl.run import Run, is_run
from emomtl.safety.files import storage, write_json
from emomtl.study.models import RatesTable, RateTable
from emomtl.study.planning import PlannedRun, Planner, Scoring, StudyPlan, same_runs
from emomtl.study.reading import StudyFile

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins

NAME = "rates.json"
"""The file of a study's folder that says what was tried for each row, and what was chosen."""

TUNED_KEYS = ("train.lr", "train.head_lr")


@dataclass(frozen=True)
class Trial:
    """One run of the grid: a row with some rates and a seed."""

    row: str
    rates: RateTable
    run: PlannedRun


@dataclass(frozen=True)
class Grid:
    """All runs that choose the rates of a study; `plan` has them as rows of their own, for executors and displays."""

    table: RatesTable
    trials: tuple[Trial, ...]
    plan: StudyPlan


@dataclass(frozen=True)
class Choice:
    """What a row was tried with, on validation, and what was chosen: the best mean over seeds, the first of equal ones."""

    row: str
    metric: str
    chosen: RateTable
    tried: Mapping[str, Mapping[int, float | None]]
    at_edge: bool

    def as_json(self) -> dict[str, Any]:
        """The choice, and every value behind it by rates and seed."""
        return {
            "row": self.row,
            "metric": self.metric,
            "chosen": self.chosen.train,
            "name": self.chosen.name,
            "at_edge": self.at_edge,
            "validation": {name: dict(by_seed) for name, by_seed in self.tried.items()},
        }


def plan_grid(
    file: StudyFile,
    folder: Path,
    runs: Path,
    plugins: Plugins,
    overrides: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> Grid:
    """Compose every run of the grid, with manifests under `folder`/rates; EmomtlError with everything that is wrong.

    Every row is tried with the same rates and seeds, and with as many updates as it has in the table. A row that starts after
    another is tried after a trial of that one with the same rates.
    """
    table = file.rates
    assert table is not None
    if given := [one for one in overrides if one.partition("=")[0].strip() in TUNED_KEYS]:
        raise EmomtlError(Problem(f"--set {given[0]}", "the study chooses its rates itself", "or give `--rates fixed`, too"))
    trials: list[Trial] = []
    scoring: dict[str, Scoring] = {}
    started: dict[str, PlannedRun] = {}
    for number, rates in enumerate(table.grid, start=1):
        of_every_row = dict.fromkeys((row.name for row in file.rows()), rates.train)
        place = folder / "rates" / str(number)
        with storage(place):
            (place / "manifests").mkdir(parents=True, exist_ok=True)
        planner = Planner(file, place, runs, plugins, overrides, sources or {}, rates=of_every_row, trial_seeds=table.seeds)
        tried = [Trial(row.name, rates, run) for row in file.rows() for run in planner.row(row)]
        problems = planner.problems or same_runs(file, [one.run for one in tried], planner.scoring)
        if problems:
            raise EmomtlError(*problems)
        trials += tried
        scoring |= {f"{name}, {rates.name}": one for name, one in planner.scoring.items()}
        started |= {run.identity: run for (name, _), run in planner.found.items() if name in planner.sources}
    named = tuple(replace(one.run, row=f"{one.row}, {one.rates.name}") for one in trials)
    return Grid(table, tuple(trials), StudyPlan(file, folder, scoring, named, tuple(started.values())))


def choose(grid: Grid) -> list[Choice] | None:
    """The choice of every row, in their order; None while runs of the grid are missing.

    A trial is worth what its best checkpoint has on validation, by the metric that chose that checkpoint where it is one of the
    row's target. EmomtlError where a row has no trial whose metric is defined for every seed.
    """
    choices = []
    for row in dict.fromkeys(trial.row for trial in grid.trials):
        tried: dict[str, dict[int, float | None]] = {}
        metric = ""
        for trial in (one for one in grid.trials if one.row == row):
            scored = _validated(trial, grid.plan.scoring[f"{row}, {trial.rates.name}"])
            if scored is None:
                return None
            metric, value = scored
            tried.setdefault(trial.rates.name, {})[trial.run.seed] = value
        choices.append(_choice(grid, row, metric, tried))
    return choices


def _validated(trial: Trial, scoring: Scoring) -> tuple[str, float | None] | None:
    """The metric that a trial is chosen by, with its value; None where the run has not ended."""
    if not is_run(trial.run.folder):
        return None
    run = Run.open(trial.run.folder)
    select = str(run.manifest.eval.select)
    metric = select.partition("/")[2] if selecting_task(select) == scoring.target else scoring.metric
    for entry in run.scores():
        if entry.get("by") == "train" and entry["which"] == "best" and entry["split"] == "validation":
            return metric, entry["tasks"][scoring.target]["metrics"].get(metric)
    return None


def _choice(grid: Grid, row: str, metric: str, tried: Mapping[str, Mapping[int, float | None]]) -> Choice:
    scoring = grid.plan.scoring[f"{row}, {grid.table.grid[0].name}"]
    sign = -1 if scoring.head.less_is_better(metric) else 1
    means = {}
    for name, by_seed in tried.items():
        values = [math.nan if value is None else value for value in by_seed.values()]
        means[name] = sign * sum(values) / len(values)
    defined = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    if not defined:
        found = f"{metric} of '{row}' on validation is undefined with all rates of the grid"
        raise EmomtlError(Problem("rates", found, "another grid, or `--rates fixed`"))
    best = max(defined, key=lambda name: defined[name])  # the first of equal ones
    chosen = next(rates for rates in grid.table.grid if rates.name == best)
    rates = sorted(one.lr for one in grid.table.grid)
    return Choice(row, f"{scoring.target}/{metric}", chosen, tried, chosen.lr in (rates[0], rates[-1]))


def keep_choices(folder: Path, grid: Grid, choices: Sequence[Choice]) -> dict[str, Any]:
    """Write what was tried and chosen into the study's folder; gives what is written."""
    content = {
        "grid": [one.train for one in grid.table.grid],
        "seeds": list(grid.table.seeds),
        "rows": [choice.as_json() for choice in choices],
    }
    write_json(folder / NAME, content)
    return content


def rates_notes(rates: Mapping[str, Any] | None) -> list[str]:
    """How the rates of a table were come by, in words."""
    if rates is None:
        return ["rates are those of the rows' manifests: none was tuned for a row, which favours the rows that they suit"]
    rows, seeds = rates["rows"], ", ".join(map(str, rates["seeds"]))
    metrics = ", ".join(dict.fromkeys(row["metric"] for row in rows))
    chosen = "; ".join(f"{row['row']}: {row['name']}" for row in rows)
    notes = [
        f"rates were chosen for each row on validation by {metrics}, with equal effort: the best of {len(rates['grid'])}, "
        f"each run with seed {seeds} ({chosen})"
    ]
    if edges := [row["row"] for row in rows if row["at_edge"]]:
        notes.append(f"the best rate is the least or greatest of the grid, so that a wider grid may move it: {', '.join(edges)}")
    return notes

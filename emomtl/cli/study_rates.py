"""`emomtl study` with a grid of rates: the grid first, on validation alone, then the rows with what it chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from emomtl.errors import EmomtlError
    from emomtl.plugins.discovery import Plugins
    from emomtl.study import Grid, Job, StudyFile, StudyPlan

    Given = tuple[StudyFile, Path, Path, Plugins, Sequence[str], Mapping[str, str]]

Asked = Literal["run", "plan", "commands", "draw"]
"""What the command was asked for."""

Run = Callable[["StudyPlan", Sequence["Job"]], Mapping[str, "EmomtlError"]]
"""Does what is left of some jobs; gives errors by identity."""


def with_chosen_rates(given: Given, planned: StudyPlan, asked: Asked, threads: int | None, run: Run) -> StudyPlan | None:
    """The study planned with the rates that the grid chose for each row, after what is left of the grid is run.

    `given` are the arguments of `plan_study`, `planned` is the study with the rates of its manifests. None where rates are not
    chosen yet, and only a plan or commands were asked for, which are printed. EmomtlError where a run of the grid failed.
    """
    from emomtl.study import choose, keep_choices, plan_grid, plan_study

    grid = plan_grid(*given)
    jobs = _jobs(grid, threads)
    if asked == "run" and (failed := run(grid.plan, jobs)):
        raise next(iter(failed.values()))
    choices = choose(grid)
    if choices is None:
        _not_chosen(grid, jobs, planned, asked)
        return None
    chosen = {one.row: one.chosen.train for one in choices}
    with_rates = plan_study(*given, rates=chosen)
    return replace(with_rates, rates=keep_choices(planned.folder, grid, choices))


def _jobs(grid: Grid, threads: int | None) -> list[Job]:
    """Every run of the grid once, with what it starts from before it; none is scored on test."""
    from emomtl.study import Job, in_waves

    found: dict[str, Job] = {}
    for one in (*grid.plan.runs, *grid.plan.sources):
        shown = one in grid.plan.runs
        paths = (str(one.manifest.resolve()), str(one.folder.resolve()))
        job = Job(one.identity, *paths, one.target, False, threads=threads, after=one.after, shown=shown)
        found.setdefault(one.identity, job)
    return [job for wave in in_waves(list(found.values())) for job in wave]


def _not_chosen(grid: Grid, jobs: Sequence[Job], planned: StudyPlan, asked: Asked) -> None:
    """Print the plan or the commands of the grid, and what comes after it."""
    from emomtl.cli.output import say
    from emomtl.cli.study_plan import print_commands, print_plan
    from emomtl.errors import EmomtlError, Problem

    if asked == "draw":
        found = "the rates of its rows are not chosen yet"
        raise EmomtlError(Problem(planned.file.study.name, found, "run the study without `--draw`, or with `--rates fixed`"))
    rows, seeds, rates = len(planned.file.rows()), len(grid.table.seeds), len(grid.table.grid)
    after = len({run.identity for run in planned.runs})
    if asked == "plan":
        print_plan(grid.plan, jobs)
    else:
        print_commands(jobs)
    say(
        f"these choose the rates, on validation alone: {rows} rows x {rates} rates x {seeds} seed(s); then {after} runs of the "
        "rows, with what was chosen: ask again when the grid is done. `--rates fixed` leaves the grid out"
    )

"""`emomtl study`: a grid of runs over seeds, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from emomtl.cli.options import Json, Sources

if TYPE_CHECKING:
    from emomtl.errors import EmomtlError
    from emomtl.study import Grid, Job, StudyPlan


def study(
    study: Annotated[str, Argument(help="The study: a TOML file, or a shipped one's name.")],
    scale: Annotated[
        str | None, Option(help="One of the study's [scales]; left out, its own choice.")
    ] = None,
    out: Annotated[
        Path | None, Option(help="Where manifests and tables go; left out, studies/NAME.")
    ] = None,
    runs: Annotated[
        Path, Option(help="The folder of runs; studies share those that are equal.")
    ] = Path("runs"),
    set_: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="Override a key of every row; may be repeated."),
    ] = None,
    source: Sources = None,
    plan: Annotated[
        bool, Option("--plan", help="Print what there is to run, and run nothing.")
    ] = False,
    print_commands: Annotated[
        bool,
        Option(
            "--print-commands", help="Print the commands of what is left, for a shell or SLURM."
        ),
    ] = False,
    draw: Annotated[
        bool,
        Option("--draw", help="Draw the table and the page as far as runs have come; run nothing."),
    ] = False,
    executor: Annotated[
        Literal["here", "processes", "ray"],
        Option(help="`here`, `processes` of this machine, or `ray`."),
    ] = "here",
    workers: Annotated[int, Option(min=1, help="Runs at a time, with `processes` and `ray`.")] = 2,
    threads: Annotated[int | None, Option(min=1, help="CPU threads of each run.")] = None,
    rates: Annotated[
        Literal["tuned", "fixed"],
        Option(
            help=(
                "If the study has [rates]: choose them for each row, or take those of the"
                " manifests."
            )
        ),
    ] = "tuned",
    json: Json = False,
) -> None:
    """Run what a study still lacks, and print its table.

    The table has means over seeds, intervals, and a verdict for each row.
    """
    from emomtl.cli.output import sources_of
    from emomtl.cli.shipped import file_of, shipped
    from emomtl.cli.study_plan import print_jobs
    from emomtl.cli.study_runs import do_runs
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins
    from emomtl.study import (
        StudyRequest,
        choose,
        jobs_of,
        keep_choices,
        keep_plan,
        plan_grid,
        plan_study,
        read_study,
    )

    plugins = Plugins.discover()
    path, home = file_of(study, plugins, "study")
    file = read_study(path, scale, home, shipped(plugins, "manifest"))
    name = f"{file.study.name}-{file.scale_name}" if file.scale_name else file.study.name
    folder = out or Path("studies") / name
    request = StudyRequest(file, folder, runs, plugins, set_ or [], sources_of(source or []))
    planned = plan_study(request)
    is_run = not (plan or print_commands or draw)
    if file.rates is not None and rates == "tuned":
        # First the grid of rates, on validation alone; then the rows with the rates it chose.
        grid = plan_grid(request)
        grid_jobs = jobs_of(grid.plan, test=False, threads=threads)
        if is_run:
            _raise_first(do_runs(grid_jobs, executor, workers))
        choices = choose(grid)
        if choices is None and draw:
            found = "the rates of its rows are not chosen yet"
            remedy = "run the study without `--draw`, or with `--rates fixed`"
            raise EmomtlError(Problem(file.study.name, found, remedy))
        if choices is None:
            print_jobs(grid.plan, grid_jobs, print_commands)
            _say_grid(grid, planned)
            return
        chosen = {choice.row: choice.chosen.train for choice in choices}
        planned = plan_study(request, rates=chosen)
        planned = replace(planned, rates=keep_choices(planned.folder, grid, choices))
    keep_plan(planned)
    jobs = jobs_of(planned, file.study.test, threads)
    if plan or print_commands:
        print_jobs(planned, jobs, print_commands)
        return
    errors = do_runs(jobs, executor, workers) if is_run else {}
    _print_results(planned, jobs, errors, json)
    _raise_first(errors)


def _raise_first(errors: Mapping[str, EmomtlError]) -> None:
    for error in errors.values():
        raise error


def _say_grid(grid: Grid, planned: StudyPlan) -> None:
    """What the grid is for, and what comes after it."""
    from emomtl.cli.output import say

    rows, seeds, rates = len(planned.file.rows()), len(grid.table.seeds), len(grid.table.grid)
    after = len({run.identity for run in planned.runs})
    say(
        f"these choose the rates, on validation alone: {rows} rows x {rates} rates x {seeds} "
        f"seed(s); then {after} runs of the rows, with what was chosen: ask again when the grid is "
        "done. `--rates fixed` leaves the grid out"
    )


def _print_results(
    planned: StudyPlan, jobs: Sequence[Job], errors: Mapping[str, EmomtlError], as_json: bool
) -> None:
    """Write the tables and the page of a study as far as it has come, and print its table."""
    from emomtl.cli.output import console, print_json, say
    from emomtl.cli.study_report import leave
    from emomtl.report.terminal import show
    from emomtl.study import (
        gather,
        other_tasks_table,
        study_report,
        study_space,
        study_table,
        trusted_by,
    )

    result = gather(planned, errors)
    tables = [study_table(result), *other_tasks_table(result)]
    if planned.file.study.space is not None:
        spaces = study_space(planned, frozenset().union(*map(trusted_by, jobs)), say)
        if spaces is not None:
            tables.append(spaces)
    leave(study_report(planned, result), tables)
    if as_json:
        print_json(result.as_json())
    else:
        show(tables, console())
    say(f"wrote {planned.folder}/page.html, table.md, table.tex, table.csv and result.json")

"""`emomtl study`: a grid of runs over seeds, and its table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from emomtl.errors import EmomtlError
    from emomtl.study import Executor, Job, StudyPlan


def study(
    study: Annotated[str, typer.Argument(help="The study: a TOML file, or a shipped one's name.", show_default=False)],
    scale: Annotated[str | None, typer.Option("--scale", help="One of the study's [scales]; left out, its own choice.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where manifests and tables go; left out, studies/NAME.")] = None,
    runs: Annotated[Path, typer.Option("--runs", help="The folder of runs; studies share those that are equal.")] = Path("runs"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of every row; may be repeated.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what there is to run, and run nothing.")] = False,
    print_commands: Annotated[
        bool, typer.Option("--print-commands", help="Print the commands of what is left, for a shell or SLURM.")
    ] = False,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw the table and the page as far as runs have come; run nothing.")
    ] = False,
    executor: Annotated[
        Literal["here", "processes", "ray"], typer.Option("--executor", help="`here`, `processes` of this machine, or `ray`.")
    ] = "here",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Runs at a time, with `processes` and `ray`.")] = 2,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of each run.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Run what a study still lacks, and print its table: means over seeds, intervals, and a verdict for each row."""
    from emomtl.cli.output import console, print_json, say, sources_of
    from emomtl.cli.shipped import bases, file_of
    from emomtl.cli.study_report import leave
    from emomtl.plugins import Plugins
    from emomtl.report.terminal import show
    from emomtl.study import gather, keep_plan, plan_study, read_study, study_report, study_space, study_table, trusted_by

    plugins = Plugins.discover()
    path, home = file_of(study, plugins, "study")
    file = read_study(path, scale, home, bases(plugins))
    folder = out or Path("studies") / (f"{file.study.name}-{file.scale_name}" if file.scale_name else file.study.name)
    planned = plan_study(file, folder, runs, plugins, set_ or [], sources_of(source or []))
    keep_plan(planned)
    jobs = _jobs(planned, threads)
    if print_commands:
        _print_commands(jobs)
        return
    if plan:
        _print_plan(planned, jobs)
        return
    failed = {} if draw else _run(planned, jobs, executor, workers)
    result = gather(planned, failed)
    tables = [study_table(result)]
    if planned.file.study.space is not None:
        discover = partial(Plugins.discover, frozenset().union(*map(trusted_by, jobs)))
        spaces = study_space(planned, discover, say)
        tables += [spaces] if spaces is not None else []
    leave(study_report(planned, result), tables)
    if json:
        print_json(result.as_json())
    else:
        show(tables, console())
    say(f"wrote {folder}/page.html, table.md, table.tex, table.csv and result.json")
    if failed:
        raise next(iter(failed.values()))


def _jobs(planned: StudyPlan, threads: int | None) -> list[Job]:
    """Every run once, whatever rows share it, sources too.

    Validation's answers are kept where thresholds are tuned: for the reference, or for all where the metric is a tuned one.
    """
    from emomtl.study import Job, in_waves

    found: dict[str, Job] = {}
    test, reference = planned.file.study.test, planned.file.reference
    keeping = {row for row, scoring in planned.scoring.items() if scoring.way is not None}
    keeping |= {reference} if planned.tuned else set()
    for run in sorted(planned.runs, key=lambda run: run.row not in keeping):
        paths = (str(run.manifest.resolve()), str(run.folder.resolve()))
        job = Job(run.identity, *paths, run.target, test, run.row in keeping, threads, run.after)
        found.setdefault(run.identity, job)
    for run in planned.sources:
        paths = (str(run.manifest.resolve()), str(run.folder.resolve()))
        job = Job(run.identity, *paths, run.target, False, threads=threads, after=run.after, shown=False)
        found.setdefault(run.identity, job)
    return [job for wave in in_waves(list(found.values())) for job in wave]


def _executor(name: str, workers: int, quiet: bool) -> Executor:
    from emomtl.cli.progress import PlainDisplay
    from emomtl.study import InProcess, Processes, Ray

    here = InProcess(None if quiet else PlainDisplay())
    return Processes(workers) if name == "processes" else Ray(workers) if name == "ray" else here


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM end the study with what is under way, even where a shell's `&` had them ignored.

    So does SIGHUP, of a terminal that was closed, unless it is ignored: `nohup` means that the study goes on.
    """
    import signal
    import sys

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in before:
            signal.signal(number, lambda heard, _: sys.exit(128 + heard))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(planned: StudyPlan, jobs: Sequence[Job], executor: str, workers: int) -> dict[str, EmomtlError]:
    """Do what is left; gives the errors by identity. What is done stays done, whatever happens to the rest."""
    from contextlib import closing

    from emomtl.cli.output import say
    from emomtl.cli.study_live import StudyLive, study_display
    from emomtl.study import Ended, left_of

    left = left_of(jobs)
    say(f"{len(jobs)} runs: {len(jobs) - len(left)} done, {len(left)} to do")
    failed: dict[str, EmomtlError] = {}
    display = study_display(planned, jobs, left)
    doing = _executor(executor, workers, quiet=isinstance(display, StudyLive))
    with _ending_in_order(), display, closing(doing.run(left)) as events:
        for event in events:
            if not isinstance(event, Ended):
                display.begins(event)
                continue
            display.ended(event)
            if event.error is not None:
                failed[event.job.key] = event.error
    return failed


def _print_plan(planned: StudyPlan, jobs: Sequence[Job]) -> None:
    from emomtl.cli.output import console, make_table, say
    from emomtl.study import left_of, state_of

    states = {job.key: state_of(job) for job in jobs}
    rows = [
        [run.row, run.seed, run.updates if run.updates is not None else "", states[run.identity], run.folder.name]
        for run in (*planned.sources, *planned.runs)
    ]
    console().print(make_table(planned.file.study.name, ["row", "seed", "target updates", "state", "run"], rows))
    left = len(left_of(jobs))
    say(f"{len(jobs)} different runs, {left} to do; `emomtl check {planned.runs[0].manifest}` says what one of them costs")


def _print_commands(jobs: Sequence[Job]) -> None:
    from emomtl.study import commands, in_waves, left_of

    for number, wave in enumerate(in_waves(left_of(jobs)), start=1):
        if number > 1:
            typer.echo(f"\n# wave {number}: starts from runs of the lines above, so when those are done")
        for job in wave:
            typer.echo(" && ".join(shlex.join(line) for line in commands(job)))

"""`emomtl study`: a grid of runs over seeds, and its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from emomtl.cli.study_rates import Asked
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
    rates: Annotated[
        Literal["tuned", "fixed"],
        typer.Option("--rates", help="Where the study has [rates]: choose them for each row, or take those of the manifests."),
    ] = "tuned",
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Run what a study still lacks, and print its table: means over seeds, intervals, and a verdict for each row."""
    from emomtl.cli.output import sources_of
    from emomtl.cli.shipped import bases, file_of
    from emomtl.cli.study_plan import print_commands as print_the_commands
    from emomtl.cli.study_plan import print_plan
    from emomtl.cli.study_rates import with_chosen_rates
    from emomtl.plugins.discovery import Plugins
    from emomtl.study import keep_plan, plan_study, read_study

    plugins = Plugins.discover()
    path, home = file_of(study, plugins, "study")
    file = read_study(path, scale, home, bases(plugins))
    folder = out or Path("studies") / (f"{file.study.name}-{file.scale_name}" if file.scale_name else file.study.name)
    given = (file, folder, runs, plugins, set_ or [], sources_of(source or []))
    planned = plan_study(*given)
    if file.rates is not None and rates == "tuned":
        asked: Asked = "plan" if plan else "commands" if print_commands else "draw" if draw else "run"
        run = partial(_run, executor=executor, workers=workers)
        if (chosen := with_chosen_rates(given, planned, asked, threads, run)) is None:
            return
        planned = chosen
    keep_plan(planned)
    jobs = _jobs(planned, threads)
    if print_commands:
        print_the_commands(jobs)
        return
    if plan:
        print_plan(planned, jobs)
        return
    failed = {} if draw else _run(planned, jobs, executor, workers)
    _draw(planned, jobs, failed, json)
    if failed:
        raise next(iter(failed.values()))


def _draw(planned: StudyPlan, jobs: Sequence[Job], failed: Mapping[str, EmomtlError], as_json: bool) -> None:
    """Gather what there is, leave it in the study's folder, and print the table."""
    from emomtl.cli.output import console, print_json, say
    from emomtl.cli.study_report import leave
    from emomtl.report.terminal import show
    from emomtl.study import auxiliary_table, gather, study_report, study_space, study_table, trusted_by

    result = gather(planned, failed)
    tables = [study_table(result), *auxiliary_table(result)]
    if planned.file.study.space is not None:
        spaces = study_space(planned, frozenset().union(*map(trusted_by, jobs)), say)
        tables += [spaces] if spaces is not None else []
    leave(study_report(planned, result), tables)
    if as_json:
        print_json(result.as_json())
    else:
        show(tables, console())
    say(f"wrote {planned.folder}/page.html, table.md, table.tex, table.csv and result.json")


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


def _executor(name: str, workers: int) -> Executor:
    from emomtl.cli.progress import PlainDisplay
    from emomtl.study import InProcess, Processes, Ray

    if name == "processes":
        return Processes(workers)
    return Ray(workers) if name == "ray" else InProcess(PlainDisplay())


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
    from emomtl.cli.study_lines import StudyLines
    from emomtl.study import Ended, left_of

    left = left_of(jobs)
    say(f"{len(jobs)} runs: {len(jobs) - len(left)} done, {len(left)} to do")
    failed: dict[str, EmomtlError] = {}
    lines = StudyLines(len(left))
    with _ending_in_order(), closing(_executor(executor, workers).run(left)) as events:
        for event in events:
            if not isinstance(event, Ended):
                lines.begins(event)
                continue
            lines.ended(event)
            if event.error is not None:
                failed[event.job.key] = event.error
    return failed

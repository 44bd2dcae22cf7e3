"""What a study has to run, printed as a table, or as commands for a shell or a batch system."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from emomtl.study import Job, StudyPlan


def print_jobs(plan: StudyPlan, jobs: Sequence[Job], as_commands: bool) -> None:
    """What there is to run, as a table of the plan's runs or as commands."""
    if as_commands:
        _print_commands(jobs)
    else:
        _print_plan(plan, jobs)


def _print_plan(plan: StudyPlan, jobs: Sequence[Job]) -> None:
    """Every run with its state, and how many are left."""
    from emomtl.cli.output import console, make_table, say
    from emomtl.study import left_of

    metrics = {run.identity: plan.scoring[run.row].untuned for run in reversed(plan.runs)}
    states = {job.key: _state_in_words(job, metrics.get(job.key)) for job in jobs}
    rows = []
    for run in (*plan.sources, *plan.runs):
        updates = "" if run.updates is None else run.updates
        rows.append([run.row, run.seed, updates, states[run.identity], run.folder.name])
    columns = ["row", "seed", "target updates", "state", "run"]
    console().print(make_table(plan.file.study.name, columns, rows))
    cost = f"`emomtl check {plan.runs[0].manifest}` says what one of them costs"
    say(f"{len(jobs)} different runs, {len(left_of(jobs))} to do; {cost}")


def _state_in_words(job: Job, metric: str | None) -> str:
    """How far a run is; of one that has begun also its last logged step and value on validation."""
    from emomtl.run import Run
    from emomtl.study import state_of

    state = state_of(job)
    if state != "begun":
        return state
    step, total, value = 0, 0, None
    for event in Run.open(Path(job.folder)).events():
        step = int(event.get("step", step))
        if event.get("event") == "start":
            total = int(event.get("total") or 0)
        elif event.get("event") == "evaluation":
            value = event["scores"].get(job.target, {}).get(metric, value)
    words: list[str] = [state]
    if step:
        words.append(f"step {step:,} of {total:,}" if total else f"step {step:,}")
    if value is not None:
        words.append(f"{value:.4f}")
    return ", ".join(words)


def _print_commands(jobs: Sequence[Job]) -> None:
    """A line of commands for each run that is left, with a comment where a wave ends."""
    from emomtl.study import commands, in_waves, left_of

    for number, wave in enumerate(in_waves(left_of(jobs)), start=1):
        if number > 1:
            start = "starts from runs of the lines above, so when those are done"
            typer.echo(f"\n# wave {number}: {start}")
        for job in wave:
            typer.echo(" && ".join(shlex.join(line) for line in commands(job)))

"""What a study has to run, printed: as a table, or as commands for a shell or a batch system."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from emomtl.study import Job, StudyPlan


def print_plan(planned: StudyPlan, jobs: Sequence[Job]) -> None:
    """Every run with its state, and how many are left."""
    from emomtl.cli.output import console, make_table, say
    from emomtl.study import left_of

    metrics = {run.identity: planned.scoring[run.row].untuned for run in reversed(planned.runs)}
    states = {job.key: _state_in_words(job, metrics.get(job.key)) for job in jobs}
    rows = [
        [run.row, run.seed, run.updates if run.updates is not None else "", states[run.identity], run.folder.name]
        for run in (*planned.sources, *planned.runs)
    ]
    console().print(make_table(planned.file.study.name, ["row", "seed", "target updates", "state", "run"], rows))
    left = len(left_of(jobs))
    say(f"{len(jobs)} different runs, {left} to do; `emomtl check {planned.runs[0].manifest}` says what one of them costs")


def _state_in_words(job: Job, metric: str | None) -> str:
    """How far a run is, from its folder: of one that has begun also its last logged step and its newest value on validation."""
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


def print_commands(jobs: Sequence[Job]) -> None:
    """The commands of what is left, a line a run; a comment stands where a wave ends."""
    from emomtl.study import commands, in_waves, left_of

    for number, wave in enumerate(in_waves(left_of(jobs)), start=1):
        if number > 1:
            typer.echo(f"\n# wave {number}: starts from runs of the lines above, so when those are done")
        for job in wave:
            typer.echo(" && ".join(shlex.join(line) for line in commands(job)))

"""What a study has to run, printed: as a table, or as commands for a shell or a batch system."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from emomtl.study import Job, StudyPlan


def print_plan(planned: StudyPlan, jobs: Sequence[Job]) -> None:
    """Every run with its state, and how many are left."""
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


def print_commands(jobs: Sequence[Job]) -> None:
    """The commands of what is left, a line a run; a comment stands where a wave ends."""
    from emomtl.study import commands, in_waves, left_of

    for number, wave in enumerate(in_waves(left_of(jobs)), start=1):
        if number > 1:
            typer.echo(f"\n# wave {number}: starts from runs of the lines above, so when those are done")
        for job in wave:
            typer.echo(" && ".join(shlex.join(line) for line in commands(job)))

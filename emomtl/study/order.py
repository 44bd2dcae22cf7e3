"""In which order jobs are done: one that starts from another's run waits for it, and fails with it."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path

from emomtl.errors import EmomtlError, Problem
from emomtl.study.performing import Job, state_of
from emomtl.study.planning import StudyPlan


def jobs_of(plan: StudyPlan, test: bool, threads: int | None = None) -> list[Job]:
    """Every run of a study once, whichever rows share it, after the run that it starts from.

    With `test` runs are scored on test. The predictions on validation are kept where thresholds are
    tuned on them: for the reference, or for every row whose metric is a tuned one.
    """
    tuned_rows = {row for row, scoring in plan.scoring.items() if scoring.way is not None}
    if test and plan.tuned:
        tuned_rows.add(plan.file.reference)
    jobs: dict[str, Job] = {}
    # Of rows that share a run, one with tuned thresholds comes first: its job keeps predictions.
    for run in sorted(plan.runs, key=lambda run: run.row not in tuned_rows):
        tuned = run.row in tuned_rows
        paths = (str(run.manifest.resolve()), str(run.folder.resolve()))
        job = Job(run.identity, *paths, run.target, test, tuned, threads, run.after)
        jobs.setdefault(run.identity, job)
    for run in plan.sources:
        paths = (str(run.manifest.resolve()), str(run.folder.resolve()))
        job = Job(run.identity, *paths, run.target, False, False, threads, run.after, shown=False)
        jobs.setdefault(run.identity, job)
    return [job for wave in in_waves(list(jobs.values())) for job in wave]


def in_waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in waves: those of one start from runs of waves before it, or from none of these; the order in a wave is kept."""
    keys = {job.key: job for job in jobs}
    sorter = TopologicalSorter({job.key: [job.after] if job.after in keys else [] for job in jobs})
    sorter.prepare()
    waves = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        waves.append([job for job in jobs if job.key in ready])
        sorter.done(*ready)
    return waves


def left_of(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that are to be done, in an order that works: all that are not done.

    A run that is there only to be started from is left out where nothing that has not begun starts from it.
    """
    states = {job.key: state_of(job) for job in jobs}
    left: list[Job] = []
    for wave in reversed(in_waves(jobs)):
        needed = {job.after for job in left if states[job.key] == "missing"}
        left = [job for job in wave if states[job.key] != "done" and (job.shown or job.key in needed)] + left
    return left


class Waiting:
    """Jobs that wait for their turn; each is given when the run that it starts from is there."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = list(jobs)
        self._open = {job.key for job in jobs}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def next(self) -> Job | None:
        """The first job that can be done now; None where all that are left wait, or none is left."""
        job = next((job for job in self._jobs if job.after not in self._open), None)
        if job is not None:
            self._jobs.remove(job)
        return job

    def over(self, job: Job, error: EmomtlError | None) -> list[tuple[Job, EmomtlError]]:
        """Note that a job is over; gives the jobs that wait for it in vain, where it failed, each with the reason."""
        self._open.discard(job.key)
        if error is None:
            return []
        vain: list[tuple[Job, EmomtlError]] = []
        for other in [other for other in self._jobs if other.after == job.key]:
            self._jobs.remove(other)
            found = f"the run that it starts from failed, {Path(job.folder).name}: {error.problems[0].found}"
            reason = EmomtlError(Problem(Path(other.folder).name, found, "mend that one, then start the study again"))
            vain += [(other, reason), *self.over(other, reason)]
        return vain

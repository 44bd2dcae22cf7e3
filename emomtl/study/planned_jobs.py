"""The jobs of a planned study: every run once, after the run that it starts from."""

from __future__ import annotations

from emomtl.study.jobs import Job, in_waves
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

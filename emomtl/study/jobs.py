"""The jobs of a study: each trains a run and scores it on test; their order and dependencies."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emomtl.errors import EmomtlError, Problem
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.lock import InUse
from emomtl.run.predictions import recorded_predictions, scored_own_rows
from emomtl.study.turns import turn, wait_for

if TYPE_CHECKING:
    from emomtl.train import Display

GRACE = 60.0
"""Seconds that a worker gets to write its checkpoint when the study is interrupted or killed."""

WITH_PARENT = "with-parent"
"""The argument of a worker that ends with the study that started it."""

State = Literal["missing", "begun", "trained", "done"]
"""No run; a run to resume; trained, but not scored on test; nothing left to do."""

MAY_CHANGE = ("train.threads", "start.run")
"""What may differ when a run is resumed: a start is identified by what it is, not by its place."""


@dataclass(frozen=True)
class Job:
    """What an executor needs to know of a run, as text and numbers, for another process or machine.

    `key` is the run's identity, and `after` that of the run it starts from. `test` and `tuned` say
    what is scored after training; `shown` is False for a run that exists only to be started from.
    """

    key: str
    manifest: str
    folder: str
    target: str
    test: bool
    tuned: bool = False
    threads: int | None = None
    after: str | None = None
    shown: bool = True

    def as_json(self) -> str:
        """The job for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `as_json` wrote."""
        return cls(**json.loads(text))


def state_of(job: Job) -> State:
    """How far a run is, from its folder; EmomtlError where it is damaged."""
    folder = Path(job.folder)
    if not is_run(folder):
        return "missing"
    run = Run.open(folder)
    scores = run.scores()
    trained = {entry.get("which") for entry in scores if entry.get("by") == "train"}
    if not {"best", "last"} <= trained:
        return "begun"
    return "trained" if _unscored(job, run, scores) else "done"


def stage_folders(folder: Path) -> list[Path]:
    """The existing folders of the stages before a run of a study.

    The run's name ends with its identity, so a folder whose name goes on from there is its stage.
    """
    return [path for path in sorted(folder.parent.glob(f"{folder.name}-*")) if is_run(path)]


def _unscored(job: Job, run: Run, scores: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The evaluations of a trained run that are missing: (split, `best` or `last`).

    Where `best` and `last` are one checkpoint, it is scored on test once.
    """
    best = find_checkpoint(run, "best").resolve().name
    wanted: dict[tuple[str, str], str] = {}
    if job.test:
        wanted["test", best] = "best"
        wanted.setdefault(("test", find_checkpoint(run, "last").resolve().name), "last")
        if job.tuned and not _has_validation_predictions(job, run, best):
            wanted["validation", best] = "best"
    for entry in scores:
        is_kept = entry.get("by") == "eval" and "answers" in entry and job.target in entry["tasks"]
        if is_kept and scored_own_rows(run.environment, entry, job.target):
            wanted.pop((entry["split"], entry["checkpoint"]), None)
    return [(split, which) for (split, _), which in wanted.items()]


def _has_validation_predictions(job: Job, run: Run, checkpoint: str) -> bool:
    """Whether training has kept the checkpoint's predictions of all validation rows."""
    table = run.manifest.tasks.get(job.target)
    if table is None or table.eval_limit is not None:
        return False
    return recorded_predictions(run, "validation", checkpoint, job.target) is not None


def perform(job: Job, display: Display | None = None) -> None:
    """Train the run and its stages, or resume it, and score test with best and last once.

    Where another process does this run, it is waited for, and what is left then is done.
    """
    with turn(Path(job.folder)):
        while True:
            try:
                _perform(job, display)
                return
            except InUse as error:
                if error.mine:  # this process would wait for itself
                    raise
                wait_for(error.folder)


def _perform(job: Job, display: Display | None) -> None:
    from emomtl.compose import compose_file, remaining, stages
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins
    from emomtl.train import Display, resume, start, train

    folder = Path(job.folder)
    if state_of(job) in ("missing", "begun"):
        display = display or Display()
        overrides = []
        if job.threads is not None:
            overrides.append(f"train.threads={job.threads}")
        plan = compose_file(Path(job.manifest), overrides, Plugins.discover())
        for stage, place in remaining(stages(plan, folder)):
            if is_run(place):
                session = resume(stage, place, display, allow_changed=list(MAY_CHANGE))
            else:
                session = start(stage, place, display)
            train(session)
    run = Run.open(folder)
    for split, which in _unscored(job, run, run.scores()):
        trained = open_trained(folder, which, Plugins.discover(trust=trusted_by(job)))
        trained.evaluate(split, [job.target])


def trusted_by(job: Job) -> frozenset[str]:
    """The digests of the plugin files in the study's own manifest; no other plugin file is run."""
    from emomtl.inference.plugin_files import plugin_digests
    from emomtl.manifest import read_manifest

    path = Path(job.manifest)
    return plugin_digests(read_manifest(path), path.parent)


def commands(job: Job) -> list[list[str]]:
    """The commands that do what is left of a job, for a shell or a batch system."""
    state, folder = state_of(job), Path(job.folder)
    lines: list[list[str]] = []
    evaluations: list[tuple[str, str]] = []
    if state in ("missing", "begun"):
        line = ["emomtl", "train", job.manifest, "--out", job.folder]
        if job.threads is not None:
            line += ["--set", f"train.threads={job.threads}"]
        if state == "begun" or stage_folders(folder):
            line.append("--resume")
            for key in MAY_CHANGE:
                line += ["--allow-changed", key]
        lines.append(line)
        if job.test:
            evaluations = [("test", "best"), ("test", "last")]
            if job.tuned:
                evaluations.append(("validation", "best"))
    elif state == "trained":
        run = Run.open(folder)
        evaluations = _unscored(job, run, run.scores())
    for split, which in evaluations:
        scoring = ["--split", split, "--task", job.target, "--checkpoint", which]
        if trusted_by(job):
            scoring.append("--trust-plugins")
        lines.append(["emomtl", "eval", job.folder, *scoring])
    return lines


def in_waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in waves: those of one start from runs of earlier waves; the order in a wave is kept."""
    keys = {job.key for job in jobs}
    sorter = TopologicalSorter({job.key: {job.after} & keys for job in jobs})
    sorter.prepare()
    waves = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        waves.append([job for job in jobs if job.key in ready])
        sorter.done(*ready)
    return waves


def left_of(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that are not done, each after the one that it starts from.

    A run that exists only to be started from is left out where no missing run starts from it.
    """
    states = {job.key: state_of(job) for job in jobs}
    left: list[Job] = []
    needed: set[str | None] = set()
    for wave in reversed(in_waves(jobs)):
        unfinished = []
        for job in wave:
            if states[job.key] != "done" and (job.shown or job.key in needed):
                unfinished.append(job)
                if states[job.key] == "missing":
                    needed.add(job.after)
        left = unfinished + left
    return left


class JobQueue:
    """Jobs that have not begun; each is given out when the run that it starts from is done."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = list(jobs)
        self._unfinished = {job.key for job in jobs}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def next(self) -> Job | None:
        """The first job that can begin; None where all wait for others, or none is left."""
        for job in self._jobs:
            if job.after not in self._unfinished:
                self._jobs.remove(job)
                return job
        return None

    def finish(self, job: Job, error: EmomtlError | None) -> list[tuple[Job, EmomtlError]]:
        """Note that a job is over; where it failed, returns the dependent jobs that fail, too."""
        self._unfinished.discard(job.key)
        if error is None:
            return []
        failed: list[tuple[Job, EmomtlError]] = []
        for dependent in list(self._jobs):
            if dependent.after != job.key:
                continue
            self._jobs.remove(dependent)
            name, cause = Path(job.folder).name, error.problems[0].found
            found = f"the run that it starts from failed, {name}: {cause}"
            remedy = "mend that one, then start the study again"
            reason = EmomtlError(Problem(Path(dependent.folder).name, found, remedy))
            failed += [(dependent, reason), *self.finish(dependent, reason)]
        return failed


def main(arguments: Sequence[str]) -> int:
    """A worker process: one job as JSON, then perhaps `WITH_PARENT`; exit code 0, or 1 with its
    errors.

    With `WITH_PARENT` it ends when its standard input does: a pipe that the study holds open, and
    that the kernel closes however the study dies.
    """
    job = Job.from_json(arguments[0])
    if WITH_PARENT in arguments[1:]:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        perform(job)
    except EmomtlError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _end_with_input() -> None:
    """Wait for the end of standard input, then end as Ctrl-C does: with a checkpoint at the next
    step.
    """
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGINT)


def failure(job: Job, reason: str) -> EmomtlError:
    """The error of a job that failed in another process."""
    remedy = f"look at {job.folder}/log.txt, then start the study again: the rest is kept"
    return EmomtlError(Problem(Path(job.folder).name, reason, remedy))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

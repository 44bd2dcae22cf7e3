"""One run of a study, from wherever it stands to its end: trained, and scored on test once a checkpoint."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emomtl.errors import EmomtlError, Problem
from emomtl.run import Run, find_checkpoint, is_run
from emomtl.run.answers import kept_answers, scored_own_rows
from emomtl.run.lock import InUse
from emomtl.study.turns import turn, wait_for

if TYPE_CHECKING:
    from emomtl.train import Display

GRACE = 60.0
"""Seconds that a worker gets to write its checkpoint when the study is interrupted, or is no more."""

WITH_PARENT = "with-parent"
"""The argument of a worker that ends with the study that started it."""

State = Literal["missing", "begun", "trained", "done"]
"""No run yet; a run to go on with; trained, but test is not scored; nothing left to do."""


MAY_CHANGE = ("train.threads", "start.run")
"""What may differ when a run is gone on with: neither changes what it is, as a start is told by its identity."""


@dataclass(frozen=True)
class Job:
    """What an executor needs to know of a run; plain text and numbers, so that it goes to another process or machine.

    `after` is the key of the job whose run this one starts from; `shown` is False for a run that is there only to be started
    from.
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
    """How far a run is, from its folder; damaged runs are an EmomtlError."""
    folder = Path(job.folder)
    if not is_run(folder):
        return "missing"
    run = Run.open(folder)
    scores = run.scores()
    if {"best", "last"} - {str(entry.get("which")) for entry in scores if entry.get("by") == "train"}:
        return "begun"
    return "trained" if _unscored(job, run, scores) else "done"


def stage_folders(folder: Path) -> list[Path]:
    """The folders of the stages before a run of a study, as far as they are there.

    Its name ends with its identity, so that whatever goes on from there is a stage of it.
    """
    return [path for path in sorted(folder.parent.glob(f"{folder.name}-*")) if is_run(path)]


def _unscored(job: Job, run: Run, scores: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What is to be scored yet, with its answers kept: (split, `best` or `last`); one checkpoint sees test once."""
    scored = {
        (entry["split"], entry["checkpoint"])
        for entry in scores
        if entry.get("by") == "eval"
        and "answers" in entry
        and job.target in entry["tasks"]
        and scored_own_rows(run.environment, entry, job.target)
    }
    wanted: dict[tuple[str, str], tuple[str, str]] = {}
    for which in ("best", "last") if job.test else ():
        wanted.setdefault(("test", find_checkpoint(run, which).resolve().name), ("test", which))
    table = run.manifest.tasks.get(job.target)
    whole = table is not None and table.eval_limit is None  # then training has kept the answers on all of validation
    best = find_checkpoint(run, "best").resolve().name
    if job.tuned and job.test and not (whole and kept_answers(run, "validation", best, job.target) is not None):
        wanted["validation", best] = ("validation", "best")
    return [asked for key, asked in wanted.items() if key not in scored]


def perform(job: Job, display: Display | None = None) -> None:
    """Train the run (and the one that it asks for before it), or go on with it, and score test with best and last once.

    Where another process does this run, it is waited for, and only what is left then is done.
    """
    with turn(Path(job.folder)):
        while True:
            try:
                _perform(job, display)
                return
            except InUse as error:
                if error.mine:  # it would wait for itself
                    raise
                wait_for(error.folder)


def _perform(job: Job, display: Display | None) -> None:
    from emomtl.compose import compose_file, remaining, stages
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins
    from emomtl.train import Display, resume, start, train

    state, folder = state_of(job), Path(job.folder)
    if state in ("missing", "begun"):
        overrides = [f"train.threads={job.threads}"] if job.threads is not None else []
        whole, shown = compose_file(Path(job.manifest), overrides, Plugins.discover()), display or Display()
        for plan, place in remaining(stages(whole, folder)):
            begun = is_run(place)
            train(resume(plan, place, shown, allow_changed=list(MAY_CHANGE)) if begun else start(plan, place, shown))
    run = Run.open(folder)
    for split, which in _unscored(job, run, run.scores()):
        trained = open_trained(folder, which, Plugins.discover(trust=trusted_by(job)))
        trained.evaluate(split, [job.target])


def trusted_by(job: Job) -> frozenset[str]:
    """The digests of the plugin files that the study's own manifest lists; a run in which others lie is not opened."""
    from emomtl.inference.plugin_files import plugin_digests
    from emomtl.manifest import read_manifest

    path = Path(job.manifest)
    return plugin_digests(read_manifest(path), path.parent)


def commands(job: Job) -> list[list[str]]:
    """The commands that do what is left of a job, for a shell or a batch system."""
    state, folder = state_of(job), Path(job.folder)
    begun = state == "begun" or bool(stage_folders(folder))
    lines: list[list[str]] = []
    if state in ("missing", "begun"):
        threads = ["--set", f"train.threads={job.threads}"] if job.threads is not None else []
        more = ["--resume", *(part for key in MAY_CHANGE for part in ("--allow-changed", key))] if begun else []
        lines.append(["emomtl", "train", job.manifest, "--out", job.folder, *threads, *more])
    asked = [("test", "best"), ("test", "last"), *([("validation", "best")] if job.tuned else [])] if job.test else []
    if state == "trained":
        run = Run.open(Path(job.folder))
        asked = _unscored(job, run, run.scores())
    trust = ["--trust-plugins"] if trusted_by(job) else []
    for split, which in asked if state != "done" else ():
        scoring = ["--split", split, "--task", job.target, "--checkpoint", which, *trust]
        lines.append(["emomtl", "eval", job.folder, *scoring])
    return lines


def main(arguments: Sequence[str]) -> int:
    """What a worker process runs: one job, given as JSON. Exit code 0, or 1 with the message of what went wrong on stderr.

    With `WITH_PARENT` as second argument it ends when its standard input does: a pipe that the study holds open, and that the
    kernel closes however the study dies.
    """
    job = Job.from_json(arguments[0])
    if WITH_PARENT in arguments[1:]:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        perform(job)
    except EmomtlError as error:
        print("\n".join(str(problem) for problem in error.problems), file=sys.stderr)
        return 1
    return 0


def _end_with_input() -> None:
    """Wait for the end of standard input, then end this process as Ctrl-C does: with a checkpoint, at the next step."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGINT)


def broken(job: Job, error: str) -> EmomtlError:
    """The error of a job that another process could not do."""
    return EmomtlError(
        Problem(Path(job.folder).name, error, f"look at {job.folder}/log.txt, then start the study again: the rest is kept")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

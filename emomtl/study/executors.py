"""Where the runs of a study happen: in this process, in several of this machine, or on a Ray cluster; one seam for all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem
from emomtl.study.order import Waiting
from emomtl.study.performing import GRACE, WITH_PARENT, Job, broken, perform

if TYPE_CHECKING:
    from emomtl.train import Display

POLL = 0.2
"""Seconds between two looks at the workers."""


@dataclass(frozen=True)
class Ended:
    """A job that is over; `error` where it failed."""

    job: Job
    error: EmomtlError | None = None


class Executor(ABC):
    """Does jobs, each after the one that it waits for; a job that fails is reported, and so are those that waited for it."""

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """Gives each job when it begins, and `Ended` when it is over. Closing it, or Ctrl-C, ends what is under way."""


def _with_others(waiting: Waiting, ended: Ended) -> list[Ended]:
    """A job that is over, and after it those that waited for it in vain."""
    return [ended, *(Ended(job, error) for job, error in waiting.over(ended.job, ended.error))]


@dataclass
class InProcess(Executor):
    """One job after the other, in this process."""

    display: Display | None = None

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """Each job in turn."""
        waiting = Waiting(jobs)
        while (job := waiting.next()) is not None:
            yield job
            try:
                perform(job, self.display)
            except EmomtlError as error:
                yield from _with_others(waiting, Ended(job, error))
            else:
                yield from _with_others(waiting, Ended(job))


@dataclass
class _Worker:
    """A process that does a job, and the file into which it writes what went wrong."""

    job: Job
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def close(self) -> None:
        """Close what belongs to a process that has ended."""
        self.said.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass
class Processes(Executor):
    """Several jobs at once on this machine, each in a process of its own with its part of the cores."""

    number: int
    _workers: list[_Worker] = field(default_factory=list, init=False)

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """As many jobs at a time as there are workers."""
        waiting = Waiting(jobs)
        try:
            while waiting or self._workers:
                while len(self._workers) < self.number and (job := waiting.next()) is not None:
                    said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
                    self._workers.append(_Worker(job, _started(job, self.number, said), said))
                    yield job
                for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
                    self._workers.remove(worker)
                    yield from _with_others(waiting, _ended(worker))
                time.sleep(POLL)
        finally:
            self._stop()

    def _stop(self) -> None:
        """Ask what still runs to write its checkpoint and end; what does not within the grace is killed."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGINT)
        until = time.monotonic() + GRACE
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.close()
        self._workers.clear()


def _started(job: Job, workers: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """A worker process; a group of its own, so that Ctrl-C reaches it through us alone.

    Its standard input is a pipe that nothing is written to: its end tells the worker that this process is no more.
    """
    threads = str(job.threads or max(1, (os.cpu_count() or 1) // workers))
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    code = "import sys; from emomtl.study.performing import main; sys.exit(main(sys.argv[1:]))"
    call = [sys.executable, "-c", code, job.as_json(), WITH_PARENT]
    return subprocess.Popen(
        call,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=environment,
        start_new_session=True,
    )


def _ended(worker: _Worker) -> Ended:
    worker.said.seek(0)
    lines = worker.said.read().decode(errors="replace").strip().splitlines()
    worker.close()
    code = worker.process.returncode
    if code == 0:
        return Ended(worker.job)
    how = f"killed by signal {-code}" if code < 0 else lines[-1] if lines else f"exit code {code}"
    return Ended(worker.job, broken(worker.job, how))


@dataclass
class Ray(Executor):
    """Jobs on a Ray cluster (the one that `RAY_ADDRESS` names, else a local one); all machines must see the same folders.

    A worker that is lost is tried again by Ray, and then goes on from its run's last checkpoint.
    """

    number: int
    retries: int = 2

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """All jobs as Ray tasks of one core (more where `threads` says so), at most `number` at a time."""
        ray = _ray()
        mine = not ray.is_initialized()
        if mine:
            ray.init(
                num_cpus=None if os.environ.get("RAY_ADDRESS") else self.number, include_dashboard=False, log_to_driver=False
            )
        try:
            remote = ray.remote(max_retries=self.retries)(_perform_quietly)
            waiting = Waiting(jobs)
            running: dict[Any, Job] = {}
            while waiting or running:
                while len(running) < self.number and (job := waiting.next()) is not None:
                    running[remote.options(num_cpus=job.threads or 1).remote(job.as_json())] = job
                    yield job
                done, _ = ray.wait(list(running), num_returns=1)
                yield from _with_others(waiting, _collected(ray, running.pop(done[0]), done[0]))
        finally:
            if mine:
                ray.shutdown()


def _perform_quietly(text: str) -> str:
    """A job on a Ray worker; the message of an error that a user can mend, or nothing."""
    job = Job.from_json(text)
    try:
        perform(job)
    except EmomtlError as error:
        return "\n".join(str(problem) for problem in error.problems)
    return ""


def _collected(ray: Any, job: Job, reference: Any) -> Ended:
    try:
        said = ray.get(reference)
    except ray.exceptions.RayError as error:
        said = f"the worker was lost: {type(error).__name__}"
    return Ended(job, broken(job, said) if said else None)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        found = "Ray is not installed"
        raise EmomtlError(Problem("--executor", found, 'pip install "emomtl[ray]", or --executor processes')) from None
    return ray

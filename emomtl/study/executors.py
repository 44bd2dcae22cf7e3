"""Executors: the jobs of a study in this process, in several, or on a Ray cluster."""

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
from emomtl.study.jobs import GRACE, WITH_PARENT, Job, JobQueue, failure, perform

if TYPE_CHECKING:
    from emomtl.train import Display

POLL = 0.2
"""Seconds between two looks at the workers."""

WORKER = "import sys; from emomtl.study.jobs import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Ended:
    """A job that is over; `error` where it failed."""

    job: Job
    error: EmomtlError | None = None


class Executor(ABC):
    """Does jobs, each after the one that it starts from; dependent jobs fail with it."""

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """Yields each job when it begins, and `Ended` when it is over.

        Closing the generator, or Ctrl-C, ends what is under way.
        """


def _end(queue: JobQueue, job: Job, error: EmomtlError | None) -> list[Ended]:
    """A job that is over, and after it the dependent jobs that fail with it."""
    ended = [Ended(job, error)]
    for dependent, reason in queue.finish(job, error):
        ended.append(Ended(dependent, reason))
    return ended


@dataclass
class InProcess(Executor):
    """One job after the other, in this process."""

    display: Display | None = None

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """Each job in turn."""
        queue = JobQueue(jobs)
        while (job := queue.next()) is not None:
            yield job
            error = None
            try:
                perform(job, self.display)
            except EmomtlError as caught:
                error = caught
            yield from _end(queue, job, error)


@dataclass
class _Worker:
    """A process that does a job, and the file with its standard error."""

    job: Job
    process: subprocess.Popen[bytes]
    stderr: IO[bytes]

    def close(self) -> None:
        """Close the files of a process that has ended."""
        self.stderr.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass
class Processes(Executor):
    """`number` jobs at a time on this machine, each in a process of its own with its share of the
    cores.
    """

    number: int
    _workers: list[_Worker] = field(default_factory=list, init=False)

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """As many jobs at a time as there are workers."""
        queue = JobQueue(jobs)
        try:
            while queue or self._workers:
                while len(self._workers) < self.number and (job := queue.next()) is not None:
                    self._workers.append(_start(job, self.number))
                    yield job
                for worker in list(self._workers):
                    if worker.process.poll() is not None:
                        self._workers.remove(worker)
                        yield from _end(queue, worker.job, _error_of(worker))
                time.sleep(POLL)
        finally:
            self._stop()

    def _stop(self) -> None:
        """Let what still runs write its checkpoint and end; kill what has not within the grace
        period.
        """
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


def _start(job: Job, workers: int) -> _Worker:
    """Start a worker process.

    It has a session of its own, so that Ctrl-C reaches it through us alone. Its standard input is a
    pipe that nothing is written to: the pipe's end tells the worker that this process has ended.
    """
    threads = job.threads or max(1, (os.cpu_count() or 1) // workers)
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, job.as_json(), WITH_PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        start_new_session=True,
    )
    return _Worker(job, process, stderr)


def _error_of(worker: _Worker) -> EmomtlError | None:
    """Why a worker that has ended failed: its signal, or the last line that it printed."""
    worker.stderr.seek(0)
    lines = worker.stderr.read().decode(errors="replace").strip().splitlines()
    worker.close()
    code = worker.process.returncode
    if code == 0:
        return None
    if code < 0:
        return failure(worker.job, f"killed by signal {-code}")
    return failure(worker.job, lines[-1] if lines else f"exit code {code}")


@dataclass
class Ray(Executor):
    """`number` jobs at a time on a Ray cluster: that of `RAY_ADDRESS`, else a local one.

    All machines must see the same folders. A worker that is lost is tried again by Ray `retries`
    times, and then resumes from its run's last checkpoint.
    """

    number: int
    retries: int = 2

    def run(self, jobs: Sequence[Job]) -> Generator[Job | Ended, None, None]:
        """All jobs as Ray tasks of one core, or of `threads` cores."""
        ray = _ray()
        is_new = not ray.is_initialized()
        if is_new:
            cores = None if os.environ.get("RAY_ADDRESS") else self.number
            ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
        try:
            remote = ray.remote(max_retries=self.retries)(_perform_remotely)
            queue = JobQueue(jobs)
            running: dict[Any, Job] = {}
            while queue or running:
                while len(running) < self.number and (job := queue.next()) is not None:
                    task = remote.options(num_cpus=job.threads or 1).remote(job.as_json())
                    running[task] = job
                    yield job
                (done,), _ = ray.wait(list(running), num_returns=1)
                job = running.pop(done)
                try:
                    reason = ray.get(done)
                except ray.exceptions.RayError as error:
                    reason = f"the worker was lost: {type(error).__name__}"
                yield from _end(queue, job, failure(job, reason) if reason else None)
        finally:
            if is_new:
                ray.shutdown()


def _perform_remotely(text: str) -> str:
    """Do a job on a Ray worker; returns the message of an error that a user can mend, or ""."""
    try:
        perform(Job.from_json(text))
    except EmomtlError as error:
        return str(error)
    return ""


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        remedy = 'pip install "emomtl[ray]", or --executor processes'
        raise EmomtlError(Problem("--executor", "Ray is not installed", remedy)) from None
    return ray

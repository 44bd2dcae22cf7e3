"""One process owns a run, others are told which, and a dead owner owns nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from emomtl.errors import EmomtlError
from emomtl.manifest.models import Manifest
from emomtl.run import Run

HOLD = """
import sys, time
from pathlib import Path
from emomtl.run import Run
with Run.open(Path(sys.argv[1]), lock=True):
    print("held", flush=True)
    time.sleep(60)
"""
ORPHAN = """
import os, sys, time
from pathlib import Path
from emomtl.run import Run
run = Run.open(Path(sys.argv[1]), lock=True)
if os.fork() == 0:
    os.close(1)
    time.sleep(5)
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""
RACE = """
import sys
from pathlib import Path
from emomtl.errors import EmomtlError
from emomtl.manifest.models import EncoderTable, Manifest, TaskTable
from emomtl.run import Run
manifest = Manifest(name="small", encoder=EncoderTable(use="minilm"), tasks={"demo": TaskTable()})
for number in range(20):
    sys.stdin.readline()
    try:
        run = Run.create(Path(sys.argv[1]) / str(number), manifest, {})
        print("made", flush=True)
    except EmomtlError as error:
        print(error, flush=True)
sys.stdin.readline()
"""
COUNT = """
import sys
from pathlib import Path
from emomtl.run import Run
run = Run.open(Path(sys.argv[1]))
for _ in range(10):
    run.add_scores({"split": "test", "checkpoint": "step-00000001", "step": 1, "tasks": {}})
"""


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    """A Python process of the script, with pipes."""
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_told_at_once_who_holds_the_run(run: Run) -> None:
    run.close()
    with start(HOLD, run.folder) as holder:
        assert line_of(holder) == "held"
        began = time.monotonic()
        with pytest.raises(
            EmomtlError, match=f"in use by process {holder.pid} on {socket.gethostname()} since 20"
        ):
            Run.open(run.folder, lock=True)
        assert time.monotonic() - began < 1
        assert Run.open(run.folder).name == "small"
        holder.kill()


@pytest.mark.parametrize("script", [HOLD, ORPHAN])
def test_the_lock_is_free_once_its_owner_was_killed(run: Run, script: str) -> None:
    run.close()
    with start(script, run.folder) as holder:
        assert line_of(holder) == "held"
        holder.send_signal(signal.SIGKILL)
    with Run.open(run.folder, lock=True) as again:
        again.log_event("mine")


def test_the_same_process_cannot_own_a_run_twice_by_accident(run: Run, manifest: Manifest) -> None:
    for again in (
        partial(Run.open, run.folder, lock=True),
        partial(Run.create, run.folder, manifest, {}),
    ):
        with pytest.raises(EmomtlError, match=f"in use by process {os.getpid()}"):
            again()
    run.lock()
    run.log_event("still mine")


def test_of_two_runs_started_together_exactly_one_gets_the_folder(tmp_path: Path) -> None:
    with start(RACE, tmp_path) as one, start(RACE, tmp_path) as other:
        for _ in range(20):
            for process in (one, other):
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            said = [line_of(one), line_of(other)]
            (refusal,) = [line for line in said if line != "made"]
            winner = (one, other)[said.index("made")]
            assert f"in use by process {winner.pid} " in refusal


def test_no_look_is_lost_when_processes_evaluate_together(run: Run) -> None:
    processes = [start(COUNT, run.folder) for _ in range(3)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert [entry["look"] for entry in run.scores()] == list(range(1, 31))

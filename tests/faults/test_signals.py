"""Ctrl-C and SIGTERM end the real command at a step boundary with a checkpoint; a second one ends
it at once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "from emomtl.cli import main; main()", "train"]
SLOW = """
import time
from emomtl import hookimpl

@hookimpl
def emomtl_stepped(run, step):
    if step == 3 and not (run.folder / "slept").exists():
        (run.folder / "slept").touch()
        time.sleep({seconds})
"""


def started(desk: Any, seconds: float) -> tuple[Path, subprocess.Popen[str], Path]:
    """A run in a process of its own that sleeps in its third step; returns when it does."""
    (desk.folder / "slow.py").write_text(SLOW.format(seconds=seconds))
    manifest = desk.manifest(
        plugins=["./slow.py"],
        train={"steps": 6, "log_every": 1},
        checkpoint={"every": 100},
        eval={"every": 6},
    )
    folder = desk.folder / "run"
    process = subprocess.Popen(
        [*COMMAND, str(manifest), "--out", str(folder)], stderr=subprocess.PIPE, text=True
    )
    for _ in range(600):
        if (folder / "slept").exists():
            break
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.1)
    return manifest, process, folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_stopped_by_a_signal_resumes_identically(
    desk: Any, cli: Any, contents: Any, number: int, code: int
) -> None:
    manifest, process, folder = started(desk, 1.0)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert (
        err.splitlines()[-1]
        == f"stopped: {signal.Signals(number).name} at step 3; a checkpoint was written, `--resume`"
        " goes on from it"
    )
    assert [path.name for path in (folder / "checkpoints").glob("step-*")] == ["step-00000003"]
    assert cli("train", manifest, "--out", folder, "--resume").code == 0
    desk_run = desk.train(manifest, "unbroken-run", overrides=[])
    assert contents(folder) == contents(desk_run)


def wait_until_heard(pid: int) -> None:
    """Wait until the first signal was heard: the run then gives SIGTERM back to the system. Two
    that come sooner are one.
    """
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(3)
        return
    for _ in range(300):
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if not int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.1)


def test_a_second_signal_ends_the_run_at_once(desk: Any) -> None:
    for number, codes in ((signal.SIGTERM, {-signal.SIGTERM, 143}), (signal.SIGINT, {130})):
        _, process, folder = started(desk, 60.0)
        process.send_signal(number)
        wait_until_heard(process.pid)
        assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=15)
        assert process.returncode in codes, err
        assert "Traceback" not in err
        assert not list((folder / "checkpoints").glob("step-*"))
        folder.rename(desk.folder / f"ended-by-{number}")

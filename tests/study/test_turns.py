"""Workers end with the study that started them, and two studies that share a run do it once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.run.lock import HOLDER, InUse
from emomtl.study import (
    Ended,
    InProcess,
    Job,
    StudyRequest,
    is_taken,
    plan_study,
    read_study,
    state_of,
)
from emomtl.study.turns import turn

WriteStudy = Callable[..., Path]
LONG = {"long": {"train": {"target_updates": 5000}, "eval": {"every": 100_000}}}


def _job(path: Path) -> Job:
    plan = plan_study(
        StudyRequest(
            read_study(path), path.parent / "out", path.parent / "runs", Plugins.discover()
        )
    )
    (run,) = plan.runs
    return Job(run.identity, str(run.manifest), str(run.folder), "mood", True)


def _begun(path: Path, *more: str, code: str = "") -> subprocess.Popen[str]:
    """A study in a process of its own, whose one run has a checkpoint."""
    arguments = [
        "study",
        str(path),
        "--out",
        str(path.parent / "out"),
        "--runs",
        str(path.parent / "runs"),
        *more,
    ]
    call = [sys.executable, "-c", f"{code}from emomtl.cli import main; main({arguments!r})"]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _until(lambda: bool(list((path.parent / "runs").glob("*/checkpoints/last"))))
    return process


def _until(reached: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_workers_end_with_a_checkpoint_when_their_study_is_killed(write_study: WriteStudy) -> None:
    path = write_study(rows=LONG, seeds=[1])
    study = _begun(path, "--executor", "processes", "--workers", "1")
    folder = Path(_job(path).folder)
    worker = json.loads((folder / HOLDER).read_text(encoding="utf-8"))["pid"]
    assert worker != study.pid
    study.kill()
    study.communicate()
    _until(lambda: not _runs(worker))
    assert state_of(_job(path)) == "begun"
    assert "SIGINT" in (folder / "log.txt").read_text(encoding="utf-8")
    assert not is_taken(folder)


def test_a_study_under_nohup_does_not_hear_that_its_terminal_was_closed(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows=LONG, seeds=[1])
    study = _begun(path, code="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); ")
    study.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert study.poll() is None
    study.send_signal(signal.SIGTERM)
    study.communicate(timeout=90)
    assert study.returncode == 143


def test_a_second_study_waits_for_a_run_that_another_does_and_finds_it_done(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    job = _job(path)
    ended: list[Any] = []
    with turn(Path(job.folder)):
        assert is_taken(Path(job.folder))
        second = threading.Thread(target=lambda: ended.extend(InProcess().run([job])))
        second.start()
        time.sleep(1)
        assert second.is_alive()
        assert state_of(job) == "missing"
    second.join(120)
    assert [event.error for event in ended if isinstance(event, Ended)] == [None]
    assert state_of(job) == "done"


@pytest.mark.long
def test_two_studies_at_once_train_a_shared_run_once_and_score_test_once(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    arguments = ["study", str(path), "--runs", str(path.parent / "runs"), "--out"]
    code = "import sys; from emomtl.cli import main; main(sys.argv[1:])"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments, str(path.parent / out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in ("one", "two")
    ]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    run = Run.open(Path(_job(path).folder))
    looks = [entry for entry in run.scores() if entry["split"] == "test"]
    assert all(entry["look"] == 1 for entry in looks)
    assert [event["event"] for event in run.events()].count("start") == 1
    results = [
        json.loads((path.parent / out / "result.json").read_text("utf-8")) for out in ("one", "two")
    ]
    assert results[0] == results[1]


def test_a_run_that_train_holds_is_waited_for(write_study: WriteStudy, desk: Any) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    job = _job(path)
    session = desk.begin(Path(job.manifest), job.folder)
    with pytest.raises(InUse) as caught:
        Run.open(Path(job.folder), lock=True)
    assert caught.value.mine
    (event,) = [one for one in InProcess().run([job]) if isinstance(one, Ended)]
    assert "in use by process" in str(event.error), "a process never waits for itself"
    holder = json.loads((Path(job.folder) / HOLDER).read_text("utf-8"))
    (Path(job.folder) / HOLDER).write_text(
        json.dumps(holder | {"pid": os.getppid()}), encoding="utf-8"
    )
    ended: list[Any] = []
    second = threading.Thread(target=lambda: ended.extend(InProcess().run([job])))
    second.start()
    time.sleep(2)
    assert second.is_alive()
    session.run.close()
    second.join(120)
    assert [event.error for event in ended if isinstance(event, Ended)] == [None]
    assert state_of(job) == "done"

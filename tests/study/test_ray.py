"""The same runs on a local Ray of two workers, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.run.lock import HOLDER
from emomtl.study import Ended, Job, Ray, StudyRequest, plan_study, read_study, state_of

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.long]


def _jobs(path: Path) -> list[Job]:
    from emomtl.plugins.discovery import Plugins

    plan = plan_study(
        StudyRequest(
            read_study(path), path.parent / "out", path.parent / "runs", Plugins.discover()
        )
    )
    return [
        Job(run.identity, str(run.manifest), str(run.folder), "mood", True) for run in plan.runs
    ]


def _holder(folder: Path) -> int | None:
    """The process that trains a run, once it has a checkpoint."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return int(holder["pid"]) if (folder / "checkpoints" / "last").exists() else None


def test_a_ray_of_two_workers_finishes_all_runs_though_one_worker_is_killed(
    write_study: Callable[..., Path],
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    path = write_study(
        rows={
            "alone": {
                "train": {"target_updates": 400},
                "eval": {"every": 50},
                "checkpoint": {"every": 10},
            }
        },
        seeds=[1, 2],
    )
    jobs = _jobs(path)
    killed: list[int] = []

    def kill() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and not killed:
            if (process := _holder(Path(jobs[0].folder))) is not None:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    ended: list[Any] = [event for event in Ray(2).run(jobs) if isinstance(event, Ended)]
    killer.join()
    assert len(killed) == 1
    assert [event.error for event in ended] == [None, None]
    assert [state_of(job) for job in jobs] == ["done", "done"]
    starts = [
        line
        for line in (Path(jobs[0].folder) / "metrics.jsonl").read_text().splitlines()
        if '"start"' in line
    ]
    assert len(starts) == 2
    assert json.loads(starts[1])["step"] > 0

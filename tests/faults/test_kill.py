"""A run that is killed or asked to stop at random moments, amid writes too, and resumed until it is
done is the unbroken run.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("kill_server.py")
EVERY = 2


def killed(desk: Any, kills: int, per_step: str, *signals: str) -> dict[str, Any]:
    """Train small runs under these signals until so many have come; the seed is printed where the
    test fails.
    """
    manifest = desk.manifest(
        train={"steps": 12, "accumulate": 2, "log_every": 3},
        sampler={"per_step": per_step},
        eval={"every": 6},
        checkpoint={"every": EVERY},
    )
    seed = random.SystemRandom().randrange(2**32)
    print("seed of the kills:", seed)
    command = [
        sys.executable,
        str(SERVER),
        str(manifest),
        str(desk.folder),
        str(kills),
        str(seed),
        *signals,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 20 * kills)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told = (
        [run["kills"] for run in found["runs"]],
        sum(len(set(run["at"])) for run in found["runs"]),
    )
    print(
        f"kills per run {told[0]}, at {told[1]} different steps of {found['steps']}, in"
        f" {found['seconds']:.0f} s;",
        end=" ",
    )
    slowest = max(run["slowest"] for run in found["runs"])
    print(
        f"{sum(run['same'] for run in found['runs'])} of {len(told[0])} runs equal, slowest stop"
        f" {slowest:.2f} s",
        done.stderr[-2000:],
    )
    return found


def check(found: dict[str, Any], kills: int, codes: dict[str, set[int]]) -> None:
    for run in found["runs"]:
        assert run["code"] == 0
        assert run["damaged"] == []
        assert run["reports"] == []
        assert run["repeated"] <= EVERY
        assert run["twice"] == 0, "a run that was asked to stop lost a step"
        assert run["same"], (
            "weights, state, events, scores or names of files differ from the unbroken run"
        )
        assert all(code in codes[name] for name, code in run["codes"]), run["codes"]
    assert sum(run["kills"] for run in found["runs"]) >= kills
    assert any(0 < step < found["steps"] for run in found["runs"] for step in run["at"])


KILLED = {"SIGKILL": {-signal.SIGKILL}}
ASKED = {"SIGTERM": {143, -signal.SIGTERM}, "SIGINT": {130}}
"""Exit codes by signal: before the first step and after the last one SIGTERM ends the process as it
ends any.
"""


def test_twenty_kills_at_random_moments_cost_nothing_but_time(memory_desk: Any) -> None:
    check(killed(memory_desk, 20, "one", *KILLED), 20, KILLED)


def test_requests_to_stop_at_random_moments_lose_no_step(memory_desk: Any) -> None:
    check(killed(memory_desk, 6, "all", *ASKED), 6, ASKED)


@pytest.mark.long
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("per_step", ["all", "one"])
def test_two_hundred_kills_at_random_moments_cost_nothing_but_time(
    memory_desk: Any, per_step: str
) -> None:
    check(killed(memory_desk, 200, per_step, *KILLED), 200, KILLED)


@pytest.mark.long
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("name", ASKED)
def test_fifty_requests_to_stop_at_random_moments_lose_no_step(memory_desk: Any, name: str) -> None:
    found = killed(memory_desk, 50, "one", name)
    check(found, 50, ASKED)
    assert max(run["slowest"] for run in found["runs"]) < 5

"""A run that is killed at random moments, in the middle of writes too, and resumed until it is done is the unbroken run."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("kill_server.py")
EVERY = 2


@pytest.fixture
def desk(make_desk: Callable[[Path], Any], tmp_path: Path) -> Iterator[Any]:
    """A desk in memory where there is room: the kernel keeps what a killed process wrote, there as on a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield make_desk(tmp_path / "desk")
        return
    with tempfile.TemporaryDirectory(prefix="emomtl-kill-", dir=memory) as folder:
        yield make_desk(Path(folder))


def killed(desk: Any, kills: int, per_step: str) -> dict[str, Any]:
    """Train small runs under kill -9 until so many have happened; the seed is printed where the test fails."""
    manifest = desk.manifest(
        train={"steps": 12, "accumulate": 2, "log_every": 3},
        sampler={"per_step": per_step},
        eval={"every": 6},
        checkpoint={"every": EVERY},
    )
    seed = random.SystemRandom().randrange(2**32)
    print("seed of the kills:", seed)
    command = [sys.executable, str(SERVER), str(manifest), str(desk.folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 5 * kills)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print("kills per run:", [run["kills"] for run in found["runs"]], f"in {found['seconds']:.0f} s", done.stderr[-2000:])
    return found


def check(found: dict[str, Any], kills: int) -> None:
    for run in found["runs"]:
        assert run["code"] == 0
        assert run["damaged"] == []
        assert run["repeated"] <= EVERY
        assert run["same"], "weights, state, events or scores differ from the unbroken run"
    assert sum(run["kills"] for run in found["runs"]) >= kills
    assert any(0 < step < found["steps"] for run in found["runs"] for step in run["at"])


def test_twenty_kills_at_random_moments_cost_nothing_but_time(desk: Any) -> None:
    check(killed(desk, 20, "one"), 20)


@pytest.mark.long
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("per_step", ["one", "all"])
def test_two_hundred_kills_at_random_moments_cost_nothing_but_time(desk: Any, per_step: str) -> None:
    check(killed(desk, 200, per_step), 200)

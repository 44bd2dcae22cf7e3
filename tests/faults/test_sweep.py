"""Killed at any file-system event from its first to its last, a run goes on to what the unbroken
one is, or says what to do.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("sweep_server.py")
NAMED = (
    "fsync run/.tmp-encoder/.tmp-sha256.json",
    "rename run/.tmp-encoder/.tmp-sha256.json",
    "rename run/.tmp-encoder",
    "rename run/checkpoints/step-00000001",
)
"""Events that a short sweep never leaves out: a kill there has once broken a run, or left an old
checkpoint for good.
"""

LISTENER = '''
"""Hears of steps, and does nothing."""
from emomtl import hookimpl

@hookimpl
def emomtl_stepped(step):
    pass
'''


def tiny(desk: Any, **changes: Any) -> Path:
    """The manifest of a run of two steps with a checkpoint after each."""
    tables: dict[str, Any] = {
        "train": {"steps": 2, "log_every": 1},
        "eval": {"every": 1},
        "tasks": {"topics": None},
    }
    path: Path = desk.manifest(**{**tables, **changes})
    return path


def sweep(desk: Any, manifest: Path, stops: int | None, **more: Any) -> dict[str, Any]:
    """Kill a life at `stops` of its events (None: all), and look at each that everything is well
    again.
    """
    train = ["train", str(manifest), "--out", "PLACE/run", "--json"]
    asked = {
        "folder": str(desk.folder / "lives"),
        "warm": [train],
        "before": [],
        "until": None,
        "life": [train],
        "after": [[*train, "--resume"], train],
        "runs": ["run"],
        "opens": [["eval", "PLACE/run", "--trust-plugins"], ["report", "PLACE/run", "--json"]],
        "stops": stops,
        "named": NAMED,
        **more,
    }
    (desk.folder / "lives").mkdir()
    done = subprocess.run(
        [sys.executable, str(SERVER)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=6000,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{len(found['lives'])} kills at {len(found['events'])} events in {found['seconds']:.0f} s"
    )
    return found


def check(found: dict[str, Any]) -> None:
    """Every killed life went on to the unbroken run, by --resume or, where it says so, without; and
    opens.
    """
    wrong = [fault for life in found["lives"] if (fault := fault_of(life))]
    assert not wrong, "\n".join(wrong)


def fault_of(life: dict[str, Any]) -> str:
    """What is wrong after a kill, in a line; nothing where all is well."""
    at = f"{'torn ' if life['torn'] else ''}event {life['number']} ({life['event']})"
    if life["code"] != -signal.SIGKILL:
        return f"{at}: the life was not killed, but ended with {life['code']}"
    codes = [(code, answer[0] if answer else None) for code, answer in life["told"]]
    if codes[-1] != (0, 0):
        return f"{at}: {life['told']}"
    for _, answer in life["told"][:-1]:
        if (
            answer[0] != 1
            or "without --resume" not in answer[2]
            or len(answer[2].splitlines()) != 1
        ):
            return f"{at}: {answer}"
    if life["differs"]:
        return f"{at}: {json.dumps(life['differs'])[:600]}"
    for code, answer in life["opens"]:
        if code or answer[0]:
            return f"{at}: {answer}"
    return ""


def sweep_plain(desk: Any, stops: int | None) -> dict[str, Any]:
    """One run."""
    return sweep(desk, tiny(desk), stops)


def sweep_pretrain(desk: Any, stops: int | None) -> dict[str, Any]:
    """Two runs, of which the second starts from the first."""
    manifest = tiny(desk, pretrain={"on": ["mood"], "steps": 2, "batch_size": 8})
    return sweep(desk, manifest, stops, runs=["run-pretrain", "run"])


def sweep_files(desk: Any, stops: int | None) -> dict[str, Any]:
    """A run that keeps a feature and a plugin of one file."""
    (desk.folder / "listener.py").write_text(LISTENER)
    features = {"lexicon": {"use": "lexicon", "of": "mood", "min_rows": 1}}
    return sweep(desk, tiny(desk, plugins=["listener.py"], features=features), stops)


def sweep_resume(desk: Any, stops: int | None) -> dict[str, Any]:
    """A run killed in its second step, and a resume with another option, which is killed again."""
    manifest = tiny(desk, train={"steps": 3, "log_every": 1})
    train = ["train", str(manifest), "--out", "PLACE/run", "--json"]
    other = [*train, "--set", "train.lr=0.002", "--resume", "--allow-changed", "train.lr"]
    second = {"before": [train], "until": "mkdir run/checkpoints/.tmp-2-"}
    return sweep(desk, manifest, stops, **second, life=[other], after=[other])


def test_a_run_killed_at_some_events_equals_the_unbroken_one(memory_desk: Any) -> None:
    check(sweep_plain(memory_desk, 3))


@pytest.mark.long
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("kind", [sweep_plain, sweep_pretrain, sweep_files, sweep_resume])
def test_a_run_killed_at_every_event_equals_the_unbroken_one(memory_desk: Any, kind: Any) -> None:
    check(kind(memory_desk, None))

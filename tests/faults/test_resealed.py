"""Checkpoints whose hashes are right and whose content is not: a part, a tensor or a fact is
missing, or is something else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from emomtl.run.checkpoint import LIST, STATE, _list_text, canonical
from emomtl.safety.untrusted import sha256_of
from emomtl.train.state import State


def reseal(folder: Path) -> None:
    """Make the list of a checkpoint's files that of those which are there."""
    listed = {
        path.name: (sha256_of(path), path.stat().st_size)
        for path in folder.iterdir()
        if path.name != LIST
    }
    (folder / LIST).write_bytes(_list_text(listed))


def without(*keys: str) -> Callable[[Path], None]:
    """Takes a fact out of the state."""

    def change(folder: Path) -> None:
        state = json.loads((folder / STATE).read_text())
        inner = state
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        (folder / STATE).write_bytes(canonical(state))

    return change


def wrong(value: Any, *keys: str) -> Callable[[Path], None]:
    """Puts something else in the place of a fact of the state."""

    def change(folder: Path) -> None:
        state = json.loads((folder / STATE).read_text())
        inner = state
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / STATE).write_bytes(canonical(state))

    return change


def file_without(part: str, tensors: bool = False) -> Callable[[Path], None]:
    """Takes a part away, or one of its tensors."""

    def change(folder: Path) -> None:
        path = folder / f"{part}.safetensors"
        if not tensors:
            path.unlink()
            return
        held = load_file(path)
        held.pop(sorted(held)[-1])
        save_file(held, path)

    return change


FACTS = [one.name for one in fields(State)]
CASES: dict[str, Callable[[Path], None]] = {
    "no run": without("state", "run"),
    "no events": without("state", "events"),
    "no labels": without("state", "labels"),
    "no processes": without("state", "processes"),
    **{f"no {fact}": without("state", "run", fact) for fact in FACTS},
    "no step of the checkpoint": without("step"),
    "no state": without("state"),
    "no identity": without("run"),
    "run is a list": wrong([], "state", "run"),
    "events are text": wrong("many", "state", "events"),
    "events are below 0": wrong(-5, "state", "events"),
    "events are half": wrong(1.5, "state", "events"),
    "events are true": wrong(True, "state", "events"),
    "processes are text": wrong("two", "state", "processes"),
    "cut is 0": wrong(0, "state", "run", "cut"),
    "counts of another task": wrong({"other": 1}, "state", "run", "counts"),
    "updates of another task": wrong({"other": 1}, "state", "run", "updates"),
    "positions below 0": wrong({"mood": -9}, "state", "run", "positions"),
    "step below 0": wrong(-3, "state", "run", "step"),
    "another step": wrong(7, "state", "run", "step"),
    "best step below 0": wrong(-3, "state", "run", "best_step"),
    "window of another task": wrong({"other": [1.0, 1]}, "state", "run", "window"),
    "window of no losses": wrong({"mood": [1.0, 0]}, "state", "run", "window"),
    "losses of text": wrong({"mood": "x"}, "state", "run", "losses"),
    "labels of another task": wrong({"other": ["a"]}, "state", "labels"),
    **{f"no {part}": file_without(part) for part in ("model", "optimizer", "weighting")},
    **{
        f"a tensor less in {part}": file_without(part, True)
        for part in ("model", "optimizer", "weighting")
    },
}


@pytest.fixture(scope="module")
def stopped(make_desk: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A desk with a run that was stopped after its second step."""

    desk = make_desk(tmp_path_factory.mktemp("resealed"))
    manifest = desk.manifest(train={"steps": 4, "log_every": 3}, eval={"every": 2})
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "run", plugins=desk.stopping(step=2))
    return desk, manifest


@pytest.mark.parametrize("case", CASES)
def test_an_incomplete_state_is_one_error(
    stopped: tuple[Any, Path], cli: Any, case: str, tmp_path: Path
) -> None:
    desk, manifest = stopped
    folder = tmp_path / "run"
    shutil.copytree(desk.folder / "run", folder, symlinks=True)
    checkpoint = (folder / "checkpoints" / "last").resolve()
    CASES[case](checkpoint)
    reseal(checkpoint)
    for command in (
        ["predict", folder, "happy", "--checkpoint", "last"],
        ["eval", folder, "--checkpoint", "last"],
    ):
        said = cli(*command)
        assert said.code == (1 if case in UNOPENED else 0), said.err
        assert "Traceback" not in said.err
    said = cli("train", manifest, "--out", folder, "--resume")
    assert "Traceback" not in said.err
    assert said.code == (0 if case in HARMLESS else 1), said.err
    assert sum(line.startswith("error: ") for line in said.err.splitlines()) == (
        0 if case in HARMLESS else 1
    ), said.err


HARMLESS = {
    "no processes",
    "no skipped",
    "no cut",
    "no best_skills",
    # runs of before tasks could stop on their own lack these
    "no task_best",
    "no task_stale",
    "no stopped_tasks",
}
"""What an earlier emomtl did not write."""

UNOPENED = {
    "no labels",
    "no step of the checkpoint",
    "no state",
    "no identity",
    "labels of another task",
    "no model",
    "a tensor less in model",
}
"""What `eval` and `predict` need."""

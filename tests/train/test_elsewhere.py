"""A run that is resumed elsewhere, or with other threads or versions, says so before it trains, and
is exact where it can be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.train import Display


class Told(Display):
    """Keeps notes and phases in the order in which they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    def phase(self, name: str) -> None:
        self.lines.append(name)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's threads, and sets them back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def interrupted(desk: Any, manifest: Path) -> Path:
    """A run that was stopped after three of its steps."""
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "run", plugins=desk.stopping(step=3))
    return Path(desk.folder / "run")


def resumed(desk: Any, manifest: Path) -> list[str]:
    """Resume to the end, and give what was told."""
    told = Told()
    desk.train(manifest, "run", resume=True, display=told)
    return told.lines


def starts(folder: Path) -> list[dict[str, Any]]:
    events = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [event for event in events if event["event"] == "start"]


def test_where_nothing_differs_nothing_is_said(desk: Any, contents: Any) -> None:
    manifest = desk.manifest()
    unbroken = contents(desk.train(manifest, "unbroken"))
    folder = interrupted(desk, manifest)
    assert not [line for line in resumed(desk, manifest) if "elsewhere" in line]
    assert "elsewhere" not in starts(folder)[-1]
    assert contents(folder) == unbroken


def test_other_versions_and_another_device_are_named_before_training_begins_and_kept_in_the_log(
    desk: Any,
) -> None:
    (desk.folder / "mine.py").write_text(
        "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(run):\n    pass\n"
    )
    manifest = desk.manifest(plugins=["./mine.py"])
    folder = interrupted(desk, manifest)
    about = json.loads((folder / "environment.json").read_text())
    (label,) = [label for label in about["plugins"] if label.endswith("mine.py")]
    del about["sha256"]  # as a run of before 0.1.0 has it
    about |= {
        "torch": "2.0.0",
        "emomtl": "0.0.9",
        "device": "cuda",
        "device_name": "a GPU",
        "precision": "bf16",
    }
    about["plugins"][label]["version"] = "0.9"
    (folder / "environment.json").write_text(json.dumps(about))
    lines = resumed(desk, manifest)
    (note,) = [line for line in lines if line.startswith("resumed elsewhere: ")]
    assert lines.index(note) < lines.index("tokenising") < lines.index("training")
    for said in (
        f"torch was 2.0.0 and is {torch.__version__}",
        "emomtl was 0.0.9",
        "device was cuda and is cpu",
        "mine.py was 0.9",
    ):
        assert said in note
    assert note.endswith("up to rounding, not bit for bit")
    begun, again = starts(folder)
    assert "elsewhere" not in begun
    assert again["elsewhere"]["torch"] == ["2.0.0", torch.__version__]
    assert again["elsewhere"]["precision"] == ["bf16", "fp32"]


def test_another_number_of_threads_is_said_and_equal_up_to_rounding(
    desk: Any, contents: Any, threads: Any
) -> None:
    manifest = desk.manifest(train={"threads": None})
    threads(1)
    unbroken = desk.train(manifest, "unbroken")
    folder = interrupted(desk, manifest)
    threads(2)
    assert [
        line
        for line in resumed(desk, manifest)
        if "resumed elsewhere: threads was 1 and is 2;" in line
    ]
    wanted, found = contents(unbroken)["state"], contents(folder)["state"]
    assert found.pop("losses") == pytest.approx(wanted.pop("losses"), rel=1e-4)
    assert (found["counts"], found["positions"], found["step"]) == (
        wanted["counts"],
        wanted["positions"],
        wanted["step"],
    )


def test_where_the_manifest_fixes_the_threads_a_machine_with_others_resumes_bit_for_bit(
    desk: Any, contents: Any, threads: Any
) -> None:
    manifest = desk.manifest(train={"threads": 1})
    unbroken = contents(desk.train(manifest, "unbroken"))
    folder = interrupted(desk, manifest)
    threads(2)
    assert not [line for line in resumed(desk, manifest) if "elsewhere" in line]
    assert contents(folder) == unbroken

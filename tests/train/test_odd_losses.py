"""Losses and weights that go wrong: told with task, step, batch and checkpoint; and no weighting
falls over them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from emomtl.plugins.discovery import Plugins
from tests.conftest import weightings_mostly_long

HEAD = '''
"""A single-label head with a loss that goes wrong: not finite in some calls, or constant."""
from dataclasses import dataclass
from typing import ClassVar
from emomtl import SingleLabel, hookimpl

CALLS = [0]


@dataclass(frozen=True)
class Odd(SingleLabel):
    kind: ClassVar[str] = "odd"
    factor: str = "1"
    calls: tuple[int, ...] = ()
    constant: float | None = None

    def loss(self, logits, targets):
        CALLS[0] += 1
        if self.constant is not None:
            return logits.sum() * 0 + self.constant
        return super().loss(logits, targets) * (float(self.factor) if CALLS[0] in self.calls else 1.0)


@hookimpl
def emomtl_heads():
    return {"odd": Odd}
'''


def odd(
    desk: Any,
    name: str,
    *,
    train: dict[str, Any] | None = None,
    weighting: Any = "equal",
    **head: Any,
) -> Path:
    """A manifest of two tasks, of which `mood` has the odd head."""
    (desk.folder / f"{name}.py").write_text(HEAD)
    made: Path = desk.manifest(
        name,
        plugins=[f"./{name}.py"],
        tasks={"mood": {"head": {"use": "odd", **head}}},
        sampler={"use": "uniform", "per_step": "all"},
        weighting=weighting if isinstance(weighting, dict) else {"use": weighting},
        train={"steps": 6, "log_every": 1, **(train or {})},
        eval={"every": 6},
    )
    return made


def notes(err: str) -> list[str]:
    return [line.removeprefix("note: ") for line in err.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize("task", ["mood", "topics"])
@pytest.mark.parametrize("factor", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_told_with_task_step_batch_and_the_checkpoint_that_is_good(
    desk: Any, cli: Any, task: str, factor: str
) -> None:
    (desk.folder / "odd.py").write_text(HEAD)
    if task == "topics":
        (desk.folder / "topics.csv").write_text((desk.folder / "mood.csv").read_text())
    tasks = {task: {"head": {"use": "odd", "factor": factor, "calls": [3]}}}
    manifest = desk.manifest(
        plugins=["./odd.py"], tasks=tasks, sampler={"per_step": "all"}, train={"log_every": 1}
    )
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert said.code == 1
    (message,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert message.startswith(f"error: {task}: the loss of {task} is not finite at step 3 (on ")
    assert re.search(r"batch [0-9a-f]{12}, first rows \{", message)
    assert "the last checkpoint is good: step-00000002" in message
    assert (
        cli("predict", desk.folder / "run", "happy", "--checkpoint", "last", "--trust-plugins").code
        == 0
    )


def test_the_same_batch_has_the_same_fingerprint_and_another_has_another(
    desk: Any, cli: Any
) -> None:
    found = []
    for name, calls in (("one", [3]), ("again", [3]), ("later", [4])):
        said = cli("train", odd(desk, name, factor="nan", calls=calls), "--out", desk.folder / name)
        found.append(re.search(r"batch ([0-9a-f]{12})", said.err)[1])  # type: ignore[index]
    assert found[0] == found[1] != found[2]


def test_before_the_first_checkpoint_the_message_says_that_there_is_none(
    desk: Any, cli: Any
) -> None:
    said = cli("train", odd(desk, "first", factor="nan", calls=[1]), "--out", desk.folder / "run")
    assert "no checkpoint was written yet" in said.err


WEIGHTINGS = sorted(Plugins.discover().offers("weighting"))


@pytest.mark.parametrize("weighting", weightings_mostly_long(WEIGHTINGS))
@pytest.mark.parametrize(
    "head",
    [{"factor": "nan", "calls": [3]}, {"constant": 0.0}, {"constant": 1e6}],
    ids=["nan", "zero", "large"],
)
def test_every_weighting_goes_on_after_a_skipped_step_and_with_a_constant_loss(
    desk: Any, weighting: str, head: dict[str, Any]
) -> None:
    options = {"weights": {"mood": 1.0, "topics": 1.0}} if weighting == "static" else {}
    manifest = odd(
        desk,
        "odd",
        weighting={"use": weighting, **options},
        train={"steps": 4, "on_nonfinite": "skip"},
        **head,
    )
    run = desk.train(manifest)
    finish = list(run.events())[-1]
    assert (finish["event"], finish["reason"]) == ("finish", "finished")
    assert finish["skipped"] == (1 if head.get("calls") else 0)


def test_a_constant_loss_is_said_once(desk: Any, cli: Any) -> None:
    said = cli("train", odd(desk, "constant", constant=0.5), "--out", desk.folder / "run")
    assert said.code == 0
    (note,) = notes(said.err)
    assert note.startswith(
        "mood: its loss has been exactly 0.5 in 3 lines of the log: the run learns nothing from it"
    )
    assert f"warning: {note}" in (desk.folder / "run" / "log.txt").read_text()


def test_a_weighting_whose_weight_grows_without_bound_is_reported_and_stopped_by_name(
    desk: Any, cli: Any
) -> None:
    manifest = odd(
        desk,
        "bound",
        weighting="uncertainty",
        train={"steps": 60, "weighting_lr": 5.0},
        constant=0.0,
    )
    said = cli("train", manifest, "--out", desk.folder / "run")
    grown = [note for note in notes(said.err) if "the weighting gives it the weight" in note]
    assert len(grown) == 1
    assert grown[0].startswith("mood: the weighting gives it the weight ")
    assert said.code == 1
    assert "the weight that the weighting gives mood is not finite at step" in said.err
    report = cli("report", desk.folder / "run")
    assert report.code == 0
    assert re.search(
        r"the weighting gave mood a weight of up to [0-9.e+]+", re.sub(r"\s+", " ", report.out)
    )

"""A loss that is not finite never reaches the weights: the run stops with the place, or skips the
step and counts it.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from emomtl import EmomtlError
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import loop

PLUGIN = '''
"""A single-label head whose loss is NaN at its calls number {calls}."""
from dataclasses import dataclass
from emomtl import SingleLabel, hookimpl

CALLS = [0]


@dataclass(frozen=True)
class Poisoned(SingleLabel):
    def loss(self, logits, targets):
        CALLS[0] += 1
        return super().loss(logits, targets) * (float("{value}") if CALLS[0] in {calls} else 1.0)


@hookimpl
def emomtl_heads():
    return {{"poisoned": Poisoned}}
'''


def poisoned(desk: Any, *calls: int, value: str = "nan", **changes: Any) -> Any:
    """A manifest whose task `mood` is poisoned at these calls."""
    name = f"poison_{value}_{'_'.join(map(str, calls))}.py"
    (desk.folder / name).write_text(PLUGIN.format(calls=list(calls), value=value))
    tasks = {"mood": {"head": {"use": "poisoned"}}}
    train = {"steps": 8, "log_every": 2, **changes.pop("train", {})}
    return desk.manifest(
        "poison",
        plugins=[f"./{name}"],
        tasks=tasks,
        sampler={"per_step": "all"},
        train=train,
        **changes,
    )


def weights(run: Run, which: str = "last") -> dict[str, torch.Tensor]:
    return open_checkpoint(find_checkpoint(run, which)).tensors("model")


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stops_at_the_step_and_its_weights_and_checkpoint_are_those_of_the_step_before(
    desk: Any, value: str, accumulate: int
) -> None:
    manifest = poisoned(desk, 4 * accumulate, value=value, train={"accumulate": accumulate})
    session = desk.begin(manifest)
    from emomtl.train import train

    with pytest.raises(EmomtlError) as caught:
        train(session)
    assert "mood: the loss of mood is not finite at step 4" in str(caught.value)
    assert 'train.on_nonfinite = "skip"' in str(caught.value)
    assert find_checkpoint(session.run, "last").resolve().name == "step-00000003"
    before = weights(session.run)
    for name, tensor in session.model.state_dict().items():
        assert torch.equal(tensor, before[name]), (
            f"{name} was touched by the step that was not finite"
        )
    assert "stopped at step 4" in (session.run.folder / "log.txt").read_text()
    stop = list(Run.open(session.run.folder).events())[-1]
    assert (stop["event"], stop["step"]) == ("stop", 4)
    assert "not finite" in stop["error"]


def test_a_run_that_skips_counts_every_such_step_and_ends_with_finite_weights(desk: Any) -> None:
    run = desk.train(
        poisoned(
            desk, 3, 4, 7, train={"on_nonfinite": "skip", "log_every": 4}, checkpoint={"every": 8}
        )
    )
    events = list(run.events())
    assert [event["step"] for event in events if event["event"] == "skipped"] == [3, 4, 7]
    assert all(event["tasks"] == ["mood"] for event in events if event["event"] == "skipped")
    finish = events[-1]
    assert (finish["event"], finish["skipped"], finish["reason"]) == ("finish", 3, "finished")
    assert all(torch.isfinite(tensor).all() for tensor in weights(run).values())
    losses = [event["losses"]["mood"] for event in events if event["event"] == "step"]
    assert all(math.isfinite(loss) and loss > 0.5 for loss in losses), (
        "a skipped step counts as no loss, not as one of 0"
    )


def test_a_step_that_is_skipped_changes_neither_weights_nor_the_optimiser(desk: Any) -> None:
    from emomtl.train.step import take_step

    session = desk.begin(poisoned(desk, 2, train={"on_nonfinite": "skip"}))
    session.run.close()
    session.state.step = 1
    take_step(session)
    before = {
        f"{part}:{name}": tensor.clone()
        for part, found in session.checkpoint_tensors().items()
        for name, tensor in found.items()
    }
    session.state.step = 2
    assert not bool(take_step(session).finite)
    for part, found in session.checkpoint_tensors().items():
        for name, tensor in found.items():
            assert torch.equal(tensor, before[f"{part}:{name}"]), f"{part} {name}"


def test_without_any_loss_in_a_log_window_the_line_says_so_and_the_run_goes_on(desk: Any) -> None:
    run = desk.train(poisoned(desk, 1, 2, train={"on_nonfinite": "skip", "steps": 4}))
    lines = [event for event in run.events() if event["event"] == "step"]
    assert [set(line["losses"]) for line in lines] == [set(), {"mood", "topics"}]


def test_a_host_that_looks_a_step_late_as_beside_cuda_writes_the_same_run(
    desk: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = poisoned(
        desk,
        3,
        4,
        7,
        12,
        train={"on_nonfinite": "skip", "log_every": 4, "steps": 12},
        checkpoint={"every": 5},
        eval={"every": 6},
    )
    at_once = desk.train(manifest, "at-once")
    monkeypatch.setitem(loop.LAG, "cpu", 1)
    late = desk.train(manifest, "late")
    assert contents(late) == contents(at_once)
    assert [event["step"] for event in late.events() if event["event"] == "skipped"] == [
        3,
        4,
        7,
        12,
    ]


def test_a_host_that_looks_a_step_late_stops_for_the_step_that_was_wrong(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.train import train

    monkeypatch.setitem(loop.LAG, "cpu", 1)
    session = desk.begin(poisoned(desk, 5, train={"log_every": 8}))
    with pytest.raises(EmomtlError, match="the loss of mood is not finite at step 5"):
        train(session)
    assert find_checkpoint(session.run, "last").resolve().name < "step-00000005"

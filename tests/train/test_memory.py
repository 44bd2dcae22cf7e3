"""A step that does not fit into memory is said with its tasks and tokens, or cut smaller with the
very results of that cut.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from emomtl import EmomtlError

HEAD = '''
"""A single-label head that has no memory for more than `room` texts, or at its call number `fails`."""
from dataclasses import dataclass
from emomtl import SingleLabel, hookimpl

CALLS = [0]


@dataclass(frozen=True)
class Cramped(SingleLabel):
    room: int = 1000
    fails: int = 0

    def loss(self, logits, targets):
        import torch

        CALLS[0] += 1
        if len(targets) > self.room or CALLS[0] == self.fails:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().loss(logits, targets)


@hookimpl
def emomtl_heads():
    return {{"cramped-{name}": Cramped}}
'''


def cramped(
    desk: Any,
    name: str,
    policy: str = "split",
    accumulate: int = 1,
    weighting: str = "uncertainty",
    **head: Any,
) -> Any:
    """A manifest whose task `mood` has little room."""
    (desk.folder / f"cramped_{name}.py").write_text(HEAD.format(name=name))
    tasks = {task: {"head": {"use": use, **options}} for task, use, options in _heads(name, head)}
    train = {"steps": 6, "log_every": 1, "accumulate": accumulate, "on_out_of_memory": policy}
    sampler, weights = {"use": "uniform", "per_step": "all"}, {"use": weighting}
    return desk.manifest(
        name,
        plugins=[f"./cramped_{name}.py"],
        tasks=tasks,
        train=train,
        sampler=sampler,
        weighting=weights,
    )


def _heads(name: str, head: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    dropout = {"dropout": head["dropout"]} if "dropout" in head else {}
    return [("mood", f"cramped-{name}", head), ("topics", "multi-label", dropout)]


def losses(run: Any) -> list[dict[str, float]]:
    return [event["losses"] for event in run.events() if event["event"] == "step"]


def test_a_step_that_does_not_fit_stops_the_run_with_task_texts_tokens_and_what_to_change(
    desk: Any,
) -> None:
    from emomtl.train import train

    manifest = cramped(desk, "stops", "stop", fails=4)
    session = desk.begin(manifest)
    with pytest.raises(EmomtlError) as caught:
        train(session)
    (problem,) = caught.value.problems
    assert problem.place == "mood, topics"
    assert "out of memory at step 4 on a micro-batch of 8 texts of " in problem.found
    assert " tokens" in problem.found
    assert "train.accumulate" in problem.remedy
    assert "encoder.checkpoint_layers = true" in problem.remedy
    assert 'train.on_out_of_memory = "split"' in problem.remedy
    assert problem.remedy.endswith("the last checkpoint is good: step-00000003")


@pytest.mark.parametrize("weighting", ["uncertainty", "famo", "gradnorm", "pcgrad"])
def test_a_run_that_cuts_by_itself_is_bit_for_bit_the_run_that_was_told_to_cut(
    desk: Any, contents: Any, weighting: str
) -> None:
    own = desk.train(cramped(desk, "own", room=4, weighting=weighting), "own")
    told = desk.train(cramped(desk, "told", accumulate=2, weighting=weighting), "told")
    mine, theirs = contents(own), contents(told)
    assert [event for event in own.events() if event["event"] == "split"] == [
        {"event": "split", "step": 1, "micro_batches": 2}
    ]
    assert "out of memory at step 1" in (own.folder / "log.txt").read_text()
    assert mine["state"].pop("cut") == 2
    assert theirs["state"].pop("cut") == 1
    assert (mine["tensors"], mine["state"]) == (theirs["tensors"], theirs["state"])
    assert losses(own) == losses(told)


@pytest.mark.parametrize("weighting", ["uncertainty", "gradnorm", "pcgrad"])
def test_a_step_that_fails_in_its_second_micro_batch_begins_anew_without_what_the_first_had_gathered(
    desk: Any, contents: Any, weighting: str
) -> None:
    own = contents(
        desk.train(cramped(desk, "own", accumulate=2, fails=2, weighting=weighting), "own")
    )
    told = contents(desk.train(cramped(desk, "told", accumulate=4, weighting=weighting), "told"))
    assert own["tensors"] == told["tensors"]


def test_without_dropout_the_losses_are_those_of_the_step_that_fits(desk: Any) -> None:
    encoder = {"dropout": 0.0}
    found = []
    for name, room in (("whole", 1000), ("cut", 2)):
        manifest = cramped(desk, name, room=room, dropout=0.0)
        found.append(
            desk.train(manifest, name, overrides=[f"encoder.dropout={encoder['dropout']}"])
        )
    assert [event["micro_batches"] for event in found[1].events() if event["event"] == "split"] == [
        2,
        4,
    ]
    for whole, cut in zip(*map(losses, found), strict=True):
        assert cut == pytest.approx(whole, rel=1e-5)


def test_a_run_that_was_cut_and_interrupted_after_every_step_is_the_unbroken_one(
    desk: Any, contents: Any
) -> None:

    manifest = cramped(desk, "broken", room=4)
    unbroken = contents(desk.train(manifest, "unbroken"))
    times, resume = 0, False
    while True:
        try:
            desk.train(manifest, "broken", resume=resume, plugins=desk.stopping())
            break
        except KeyboardInterrupt:
            times, resume = times + 1, True
    assert times == 6
    assert contents(desk.folder / "broken") == unbroken


def test_a_single_text_that_does_not_fit_is_said_and_nothing_is_cut_further(desk: Any) -> None:
    from emomtl.train import train

    session = desk.begin(cramped(desk, "tiny", room=0))
    with pytest.raises(EmomtlError, match="on a micro-batch of 1 texts of") as caught:
        train(session)
    assert "a text alone does not fit" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_scoring_and_the_optimiser_that_do_not_fit_name_what_to_change(
    desk: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    from emomtl.train import train

    def full(*args: Any, **more: Any) -> Any:
        raise error

    for target, said in (
        (
            "emomtl.inference.evaluator.Evaluator.outputs",
            "eval.batch_size: the device ran out of memory while mood were scored on validation",
        ),
        (
            "torch.optim.AdamW.step",
            "train: the device ran out of memory in the optimiser at step 1",
        ),
    ):
        session = desk.begin(desk.manifest(), said[:4])
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            with pytest.raises(EmomtlError, match=said):
                train(session)


def test_an_error_of_another_kind_passes_as_it_is(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.train import train

    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("emomtl.inference.evaluator.Evaluator.outputs", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        train(desk.begin(desk.manifest()))

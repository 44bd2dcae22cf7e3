"""A step asks the device for nothing: on CUDA each such question would wait until all that is
queued has been computed.

One question is transformers' own: where texts are padded, whether a batch has any padding. On CUDA
texts are not padded for the encoders that `emomtl.model.fast.unpadded` knows.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from emomtl.train.step import remember, settle, take_step

ASKING = ("_local_scalar_dense", "nonzero", "equal")
"""Operators whose answer the host has to have: what `item`, `bool`, `float` and boolean indexing
end in.
"""

THEIRS = "transformers/masking_utils.py"

WEIGHTINGS: dict[str, dict[str, Any]] = {
    "equal": {},
    "static": {"weights": {"mood": 1.0, "topics": 0.5}},
    "classes-over-size": {},
    "random": {},
    "uncertainty": {},
    "dwa": {},
    "task-prioritisation": {},
    "geometric-mean": {},
    "scale-invariant": {},
    "imtl-l": {},
    "stch": {},
    "famo": {},
}


class Questions(TorchDispatchMode):
    """Notes every operator of ASKING, but for those in THEIRS."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_truth = name == "index" and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        if (name in ASKING or by_truth) and not any(
            THEIRS in frame.filename for frame in traceback.extract_stack()
        ):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_step_asks_for_nothing(desk: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # what is for CPUs alone
    monkeypatch.setattr(sys.modules["emomtl.train.start"], "skip_unread", lambda *_, **__: None)
    manifest = desk.manifest(
        weighting={"use": name, **WEIGHTINGS[name]},
        sampler={"use": "proportional", "per_step": "all"},
        train={"accumulate": 2},
    )
    session = desk.begin(manifest)
    session.run.close()
    session.model.train()
    for _ in range(2):  # the second step has what the first one leaves
        with Questions() as questions:
            done = take_step(session)
        assert questions.asked == []
        remember(session, done)
    with Questions() as questions:
        settle(session)
    assert questions.asked == ["_local_scalar_dense"] * 2, (
        "whether each step was finite is asked for here"
    )


def test_the_questions_are_heard() -> None:
    with Questions() as questions:
        x = torch.ones(3)
        bool(x.sum() > 0), float(x[0]), x[x > 0]
    assert len(questions.asked) == 3

"""Every weighting that is offered, in the loop: however a step is cut, what it looks at, and what
it leaves in the log.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.train import Session
from emomtl.train.step import remember, take_step
from tests.conftest import weightings_mostly_long

WEIGHTINGS = sorted(Plugins.discover().offers("weighting"))

OPTIONS = {"static": {"weights": {"mood": 0.5}}}
STILL = {
    "encoder": {"dropout": 0.0},
    "tasks": {
        "mood": {"head": {"dropout": 0.0}},
        "topics": {"head": {"use": "multi-label", "dropout": 0.0}},
    },
    "sampler": {"use": "proportional", "per_step": "all"},
}


def begun(desk: Any, out: str, use: str, still: bool = True, **train: Any) -> Session:
    """A session with a weighting, without dropout unless asked for."""
    changes = STILL if still else {"sampler": STILL["sampler"]}
    weighting = {"use": use, **OPTIONS.get(use, {})}
    session: Session = desk.begin(
        desk.manifest(out, **changes, weighting=weighting, train={"warmup": 0.0, **train}), out
    )
    session.model.train()
    session.run.close()
    return session


def gradients(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """The weights and all gradients of one step, whose update is not made."""
    kept = {}

    def keep() -> None:
        for group in session.optimizer.param_groups:
            named = zip(group["names"], group["params"], strict=True)
            kept.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    monkeypatch.setattr(session.optimizer, "step", keep)
    done = take_step(session)
    return {task: float(weight) for task, weight in done.weights.items()}, kept


@pytest.mark.parametrize("size", [32, 3], ids=["even parts", "parts without a task"])
@pytest.mark.parametrize("use", weightings_mostly_long(WEIGHTINGS))
def test_a_step_of_32_is_four_micro_batches_of_8(
    desk: Any, monkeypatch: pytest.MonkeyPatch, use: str, size: int
) -> None:
    options = {"batch_size": size, "clip": 0.0}
    whole_weights, whole = gradients(begun(desk, "whole", use, **options), monkeypatch)
    weights, parts = gradients(begun(desk, "cut", use, accumulate=4, **options), monkeypatch)
    assert weights == pytest.approx(whole_weights, rel=2e-3, abs=1e-4)
    assert parts.keys() == whole.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-5 * largest, rtol=2e-3, msg=name)


@pytest.mark.parametrize("use", weightings_mostly_long(WEIGHTINGS))
def test_weights_of_every_logged_step_are_in_the_events(desk: Any, use: str) -> None:
    options = {"use": use, **OPTIONS.get(use, {})}
    train = {"steps": 3, "log_every": 1, "accumulate": 2}
    run: Run = desk.train(
        desk.manifest(
            sampler={"use": "proportional", "per_step": "all"}, weighting=options, train=train
        )
    )
    logged = [event["weights"] for event in run.events() if event["event"] == "step"]
    assert len(logged) == 3
    for weights in logged:
        assert set(weights) == {"mood", "topics"}
        assert all(math.isfinite(weight) for weight in weights.values())


def test_the_last_layer_is_that_of_the_encoder_s_stack(desk: Any) -> None:
    from emomtl.model.network import shared_parameters

    model = begun(desk, "run", "equal").model
    shared, encoder = shared_parameters(model), dict(model.encoder.named_parameters())
    assert [id(p) for p in shared] == [id(p) for p in encoder.values()]
    numbers = {int(name.split(".")[2]) for name in encoder if name.startswith("encoder.layer.")}
    expected = [
        id(p) for name, p in encoder.items() if name.startswith(f"encoder.layer.{max(numbers)}.")
    ]
    assert [id(p) for p in shared.last] == expected
    for parameter in shared.last:
        parameter.requires_grad_(False)
    below = shared_parameters(model)
    assert len(below) == len(shared) - len(expected)
    assert [id(p) for p in below.last] == [
        id(p)
        for name, p in encoder.items()
        if name.startswith(f"encoder.layer.{max(numbers) - 1}.")
    ]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_is_looked_at_after_an_update_that_changes_nothing_is_what_was_before(
    desk: Any, accumulate: int
) -> None:
    """The same texts under the same dropout: with a rate of nearly 0 the losses are the same to the
    last bit or so.
    """
    session = begun(desk, "run", "famo", still=False, lr=1e-12, accumulate=accumulate)
    seen = []
    weighting = session.plan.weighting
    look = type(weighting).look

    def spy(self: Any, state: Any, before: Any, after: Any, moment: Any) -> None:
        seen.append((before, after))
        look(self, state, before, after, moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(weighting), "look", spy)
        for _ in range(2):
            remember(session, take_step(session))
    assert len(seen) == 2
    for before, after in seen:
        assert before.keys() == after.keys() == {"mood", "topics"}
        for task in before:
            assert float(after[task]) == pytest.approx(float(before[task]), rel=1e-5)
            assert not after[task].requires_grad


def test_what_is_looked_at_ahead_is_what_the_step_then_finds(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begun(desk, "run", "geometric-mean", still=False, accumulate=3)
    given = []
    weighting = type(session.plan.weighting)
    combine = weighting.combine

    def spy(self: Any, state: Any, losses: Any, moment: Any) -> Any:
        given.append(moment)
        return combine(self, state, losses, moment)

    monkeypatch.setattr(weighting, "combine", spy)
    done = take_step(session)
    assert len(given) == 3
    for moment in given:
        assert {task: float(loss) for task, loss in moment.ahead.items()} == pytest.approx(
            {task: float(loss) for task, loss in done.losses.items()}, rel=1e-6
        )
    for task in ("mood", "topics"):
        assert sum(moment.part(task) for moment in given) == pytest.approx(1.0)


def test_plain_weightings_cost_no_pass_more(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begun(desk, "run", "equal", accumulate=2)
    calls = []
    encode = session.model.encode
    monkeypatch.setattr(
        session.model, "encode", lambda inputs, **more: calls.append(1) or encode(inputs, **more)
    )
    take_step(session)
    assert len(calls) == 4, "two corpora, two micro-batches"


def test_a_method_that_needs_joint_batches_asks_for_them(desk: Any) -> None:
    from emomtl import EmomtlError

    joint = [
        name for name, offer in Plugins.discover().offers("weighting").items() if offer.value.joint
    ]
    assert {"pcgrad", "gradnorm", "famo", "stch", "geometric-mean"} <= set(joint)
    for use in joint:
        with pytest.raises(EmomtlError, match=f"'{use}' needs the losses of all tasks in one step"):
            desk.begin(desk.manifest(sampler={"per_step": "one"}, weighting={"use": use}))


def test_a_finished_run_opens_where_torchjd_is_not_installed(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl import EmomtlError
    from emomtl.inference.trained import open_trained

    manifest = desk.manifest(
        sampler={"use": "proportional", "per_step": "all"},
        weighting={"use": "pcgrad"},
        train={"steps": 1},
    )
    run: Run = desk.train(manifest)
    monkeypatch.setattr("emomtl_plugins.weightings.gradients.method.find_spec", lambda name: None)
    with pytest.raises(EmomtlError, match=r'pip install "emomtl\[torchjd\]"'):
        desk.begin(manifest, "another")
    assert open_trained(run.folder, "last", Plugins.discover()).model is not None

"""The scale of losses in a run: equal shares of the encoder, one gradient however it is cut, and
clipping by task.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from emomtl.errors import EmomtlError
from emomtl.manifest import read_manifest
from emomtl.run import Run
from emomtl.train import Session
from emomtl.train.step import remember, take_step

JOINT = {"use": "proportional", "per_step": "all"}


def begun(desk: Any, out: str, **train: Any) -> Session:
    """A joint session of two tasks under equal weights, without dropout."""
    tasks = {
        "mood": {"head": {"dropout": 0.0}},
        "topics": {"head": {"use": "multi-label", "dropout": 0.0}},
    }
    manifest = desk.manifest(
        out,
        encoder={"dropout": 0.0},
        tasks=tasks,
        sampler=JOINT,
        weighting={"use": "equal"},
        train={"warmup": 0.0, **train},
    )
    session: Session = desk.begin(manifest, out)
    session.model.train()
    session.run.close()
    return session


def stepped(session: Session, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The gradients that one step gives the optimiser, as it would use them."""
    kept = {}

    def keep() -> None:
        scale = getattr(session.optimizer, "grad_scale", None)
        named = session.model.named_parameters()
        kept.update(
            {
                name: p.grad / (1.0 if scale is None else scale)
                for name, p in named
                if p.grad is not None
            }
        )

    monkeypatch.setattr(session.optimizer, "step", keep)
    take_step(session)
    return kept


def norm(gradients: dict[str, torch.Tensor], *starts: str) -> float:
    """The norm of the gradients whose names begin so."""
    return float(
        torch.cat([g.flatten() for name, g in gradients.items() if name.startswith(starts)]).norm()
    )


def test_each_task_has_a_fair_share_of_the_encoder_under_the_default(desk: Any) -> None:
    run: Run = desk.train(
        desk.manifest(
            sampler=JOINT, weighting={"use": "equal"}, train={"steps": 12, "log_every": 4}
        )
    )
    logged = [event["encoder_grad_norms"] for event in run.events() if event["event"] == "step"]
    assert len(logged) == 3
    for norms in logged:
        assert set(norms) == {"mood", "topics"}
        shares = {task: value / sum(norms.values()) for task, value in norms.items()}
        assert all(0.5 / 4 < share < 0.5 * 4 for share in shares.values()), shares


def test_raw_and_scaled_losses_stand_side_by_side_in_the_log(desk: Any) -> None:
    run: Run = desk.train(
        desk.manifest(sampler=JOINT, weighting={"use": "equal"}, train={"steps": 2, "log_every": 1})
    )
    for event in (event for event in run.events() if event["event"] == "step"):
        assert event["losses"]["mood"] == pytest.approx(event["raw_losses"]["mood"], rel=1e-6)
        assert event["losses"]["topics"] == pytest.approx(
            4 * event["raw_losses"]["topics"], rel=1e-6
        )
    assert "the mean loss is multiplied by 4 (nats)" in (run.folder / "log.txt").read_text()


def test_measuring_gradients_for_the_log_changes_no_weight(desk: Any) -> None:
    ends = []
    for every in (1, 50):
        session = desk.begin(
            desk.manifest(f"every{every}", sampler=JOINT, train={"log_every": every}),
            f"every{every}",
        )
        session.model.train()
        for _ in range(4):
            remember(session, take_step(session))
        session.run.close()
        ends.append(session.model.state_dict())
    assert all(torch.equal(one, ends[1][name]) for name, one in ends[0].items())


@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping_by_task_bounds_each_task_alone(
    desk: Any, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    together = stepped(begun(desk, "free", clip=0.0), monkeypatch)
    options = {"clip": 1e-3, "clip_by": "task", "accumulate": accumulate}
    apart = stepped(begun(desk, "apart", **options), monkeypatch)
    # heads have no gradient but their own task's, so each pair (encoder, head) is cut by the same
    # factor
    factors = {
        task: norm(apart, f"heads.{task}.") / norm(together, f"heads.{task}.")
        for task in ("mood", "topics")
    }
    assert factors["mood"] != pytest.approx(factors["topics"], rel=0.05)
    bound = sum(norm(apart, f"heads.{task}.") ** 2 for task in factors) ** 0.5
    assert bound < 1e-3 * 2**0.5
    assert norm(apart, "encoder.") < 2e-3


def test_clipping_by_task_far_away_is_no_clipping(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stepped(begun(desk, "plain", clip=0.0), monkeypatch)
    apart = stepped(begun(desk, "apart", clip=1e6, clip_by="task"), monkeypatch)
    assert apart.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(apart[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_a_method_that_mixes_gradients_refuses_clipping_by_task(desk: Any) -> None:
    pytest.importorskip("torchjd")
    manifest = desk.manifest(sampler=JOINT, weighting={"use": "pcgrad"}, train={"clip_by": "task"})
    with pytest.raises(EmomtlError, match=r"train\.clip_by.*mixes the tasks' gradients"):
        desk.begin(manifest)


def test_what_a_weighting_learns_has_its_own_rate_and_no_clip(desk: Any) -> None:
    manifest = desk.manifest(
        sampler=JOINT, train={"weighting_lr": 0.02, "clip": 1e-6, "steps": 20, "warmup": 0.5}
    )
    session = desk.begin(manifest)
    session.model.train()
    before = {name: float(value.detach()) for name, value in session.weighting.named_parameters()}
    remember(session, take_step(session))
    session.run.close()
    # Adam's first step has the length of its rate, whatever the warm-up, if its gradient is not
    # clipped to nothing
    for name, value in session.weighting.named_parameters():
        assert abs(float(value.detach()) - before[name]) == pytest.approx(0.02, rel=1e-3)


def test_learned_weights_start_at_the_optimum_of_the_base_rate(desk: Any) -> None:
    for use, optimum in (("uncertainty", 0.5), ("imtl-l", 1.0)):
        session = desk.begin(desk.manifest(use, sampler=JOINT, weighting={"use": use}), use)
        session.run.close()
        done = take_step(session)
        for task, scale in session.losses.scales.items():
            assert float(done.weights[task]) * scale.base_loss == pytest.approx(optimum, rel=1e-5)


def test_a_run_older_than_the_scale_is_read_as_the_mean(desk: Any) -> None:
    run: Run = desk.train(desk.manifest(train={"steps": 1}))
    path = run.folder / "manifest.toml"
    assert Run.open(run.folder).manifest.train.loss_scale == "nats"
    older = "\n".join(line for line in path.read_text().splitlines() if "loss_scale" not in line)
    (desk.folder / "older.toml").write_text(older)
    from emomtl.manifest import with_old_values

    assert with_old_values(read_manifest(desk.folder / "older.toml")).train.loss_scale == "mean"

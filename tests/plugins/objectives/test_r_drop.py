"""R-Drop against the authors' formula, torch's divergences, and two passes of a real step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from emomtl import EmomtlError, HeadOutput, Regression, SingleLabel, View
from emomtl.testing import check_objective
from emomtl.train.step import losses_of, moment_of, try_step
from emomtl_plugins.objectives.r_drop import RDrop

JOINT = {"use": "proportional", "per_step": "all"}


def twice(view: View, seed: int = 9) -> View:
    """The view with other logits for a second pass."""
    draw = np.random.default_rng(seed)
    logits = torch.tensor(draw.normal(size=tuple(view.own.logits.shape)))
    return replace(view, again=replace(view.own, logits=logits))


def test_for_one_label_it_is_the_authors_formula(view: Any, loss_of: Any) -> None:
    """As in the README of github.com/dropreg/R-Drop, there summed over texts."""
    given = twice(view([0, 1, 3, 2]))
    p, q = given.own.logits, given.again.logits
    p_loss = functional.kl_div(p.log_softmax(-1), q.softmax(-1), reduction="none").sum()
    q_loss = functional.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum()
    assert loss_of(RDrop(), given) == pytest.approx(float((p_loss + q_loss) / 2) / 4)


def test_for_several_labels_each_is_a_bernoulli_of_its_own(view: Any, loss_of: Any) -> None:
    given = twice(view([[0], [0, 2], [], None]))
    known = ~given.own.targets.isnan()
    one, other = (
        torch.distributions.Bernoulli(logits=one.logits) for one in (given.own, given.again)
    )
    both = torch.distributions.kl_divergence(one, other) + torch.distributions.kl_divergence(
        other, one
    )
    assert loss_of(RDrop(), given) == pytest.approx(float(0.5 * both[known].mean()))


def test_for_numbers_it_is_the_mean_square_of_the_difference(loss_of: Any) -> None:
    targets = torch.tensor([[0.5, 0.5], [float("nan"), 1.0]])
    one, other = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[2.0, 2.0], [9.0, 1.0]])
    given = View(torch.zeros(2, 3), HeadOutput(one, targets), again=HeadOutput(other, targets))
    assert loss_of(RDrop(), given) == pytest.approx((1 + 0 + 9) / 3)


def test_texts_without_a_label_take_no_part(view: Any, loss_of: Any) -> None:
    given = twice(view([0, None, 3, None]))
    assert loss_of(RDrop(), given) == pytest.approx(loss_of(RDrop(), _rows(given, [0, 2])))
    assert loss_of(RDrop(), replace(given, again=given.own)) == 0
    assert loss_of(RDrop(), twice(view([None, None]))) == 0


def _rows(view: View, rows: list[int]) -> View:
    own = replace(view.own, logits=view.own.logits[rows], targets=view.own.targets[rows])
    assert view.again is not None
    return View(view.pooled[rows], own, again=replace(own, logits=view.again.logits[rows]))


def test_it_is_an_objective_as_emomtl_expects_one() -> None:
    check_objective(RDrop())


def test_it_fits_every_task_that_answers_a_text() -> None:
    RDrop().check("a", {"a": (Regression(), None)})
    RDrop().check("a", {"a": (SingleLabel(), None)})


def test_without_a_second_pass_it_says_so(view: Any, loss_of: Any) -> None:
    with pytest.raises(EmomtlError, match="second pass"):
        loss_of(RDrop(), view([0, 1]))


def session_of(desk: Any, out: str, dropout: float, **more: Any) -> Any:
    objectives = (
        {"steady": {"use": "r-drop", "task": "mood", "weight": 0.5}}
        if more.pop("with_it", True)
        else {}
    )
    head = {"use": "single-label", "dropout": dropout}
    tasks = {"mood": {"head": head}, **more.pop("tasks", {})}
    encoder = {"dropout": dropout, **more.pop("encoder", {})}
    given = {"sampler": JOINT, "weighting": {"use": "equal"}, **more}
    session = desk.begin(
        desk.manifest(out, tasks=tasks, encoder=encoder, objectives=objectives, **given), out
    )
    session.run.close()
    session.model.train()
    return session


@pytest.mark.parametrize("unpadded", ["off", "on"])
def test_without_dropout_r_drop_adds_nothing(desk: Any, unpadded: str) -> None:
    train = {"unpadded": unpadded}
    alone = try_step(session_of(desk, "alone", 0.0, with_it=False, train=train))
    both = try_step(session_of(desk, "both", 0.0, train=train))
    assert both["mood/steady"] == pytest.approx(0.0, abs=1e-9)
    assert both["mood"] == pytest.approx(alone["mood"], rel=1e-5)
    assert both["topics"] == pytest.approx(alone["topics"], rel=1e-6)


@pytest.mark.parametrize(
    "change", [[], [{"use": "pals", "rank": 8, "heads": 2}]], ids=["plain", "pals"]
)
def test_the_loss_is_the_mean_of_two_passes(
    desk: Any, change: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heads' answers of both passes are written down, and the loss is worked out from them by
    hand.
    """
    session = session_of(
        desk, "both", 0.4, encoder={"changes": change}, train={"loss_scale": "mean"}
    )
    answers: list[torch.Tensor] = []
    logits = session.model.logits

    def heard(task: str, pooled: torch.Tensor) -> torch.Tensor:
        found = logits(task, pooled)
        answers.extend([found] if task == "mood" else [])
        return found

    monkeypatch.setattr(session.model, "logits", heard)
    (parts,) = session.feeder.draw(session.plan.sampler, moment_of(session), session.state).micro
    torch.manual_seed(1)
    losses = losses_of(session, parts)
    one, other = answers
    assert not torch.equal(one, other)
    (targets,) = (
        torch.from_numpy(part.targets["mood"]) for part in parts if "mood" in part.targets
    )
    entropy = (
        functional.cross_entropy(one, targets) + functional.cross_entropy(other, targets)
    ) / 2
    p, q = one.log_softmax(-1), other.log_softmax(-1)
    kl = functional.kl_div(p, q.exp(), reduction="batchmean") + functional.kl_div(
        q, p.exp(), reduction="batchmean"
    )
    assert float(losses["mood"].detach()) == pytest.approx(
        float((entropy + 0.5 * 0.5 * kl).detach()), rel=1e-5
    )


def test_only_the_task_that_asks_pays(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(desk, "both", 0.1)
    passes: list[int] = []
    encode = session.model.encode

    def counted(inputs: Any, *more: Any, **options: Any) -> Any:
        passes.append(len(inputs["input_ids"]))
        return encode(inputs, *more, **options)

    monkeypatch.setattr(session.model, "encode", counted)
    try_step(session)
    assert len(passes) == 3


def test_a_run_with_micro_batches_is_resumed_bit_for_bit(
    desk: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.train import loop, train

    objectives = {"steady": {"use": "r-drop", "task": "topics", "weight": 0.25}}
    manifest = desk.manifest(objectives=objectives, train={"accumulate": 2, "steps": 4})
    whole = desk.train(manifest, "whole")
    save = loop.save

    def stopping(session: Any, improved: bool) -> None:
        save(session, improved)
        if session.state.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(desk.begin(manifest, "cut"))
    monkeypatch.undo()
    assert (
        contents(whole)["tensors"] == contents(desk.train(manifest, "cut", resume=True))["tensors"]
    )


def test_check_says_what_it_costs(desk: Any, cli: Any) -> None:
    said = cli(
        "check",
        desk.manifest(objectives={"steady": {"use": "r-drop", "task": "mood"}}),
        "--no-step",
    )
    assert said.code == 0, said.err
    assert "mood: its texts are encoded twice a step, for steady" in said.err

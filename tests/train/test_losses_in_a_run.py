"""Losses for rare labels in a run: counts of the training rows, resume, opened runs, and what
`check` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomtl import MultiLabel
from emomtl.errors import EmomtlError
from emomtl.run import Run

WEIGHTED: dict[str, Any] = {
    "mood": {"head": {"label_weight": "balanced", "label_smoothing": 0.1}},
    "topics": {"head": {"use": "multi-label", "pos_weight": "balanced"}},
}


def test_weights_are_those_of_the_training_rows(desk: Any) -> None:
    session = desk.begin(desk.manifest(tasks=WEIGHTED))
    session.run.close()
    targets = session.data.rows("topics", "train").targets
    head = session.plan.tasks["topics"].head
    assert isinstance(head, MultiLabel)
    assert head._facts is not None
    holds = targets.sum(axis=0)
    assert head._facts.weights == pytest.approx((len(targets) - holds) / holds)
    for scale in session.losses.scales.values():
        assert scale.base is not None
        assert scale.base.nats != 1.0


def test_a_resumed_run_with_weights_is_the_run_that_was_not_stopped(
    desk: Any, contents: Any
) -> None:
    whole = desk.train(desk.manifest(tasks=WEIGHTED), "whole")
    manifest = desk.manifest(tasks=WEIGHTED, train={"steps": 6})
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "cut", plugins=desk.stopping(step=2))
    resumed = desk.train(desk.manifest(tasks=WEIGHTED), "cut", resume=True)
    first, second = contents(whole, "last"), contents(resumed, "last")
    assert first["tensors"] == second["tensors"]
    assert first["scores"] == second["scores"]


def test_opened_runs_answer_and_are_scored_without_training_rows(desk: Any, cli: Any) -> None:
    run: Run = desk.train(desk.manifest(tasks=WEIGHTED, train={"steps": 2}))
    assert "topics: pos_weight: " in (run.folder / "log.txt").read_text()
    assert cli("eval", run.folder, "--split", "test").code == 0
    said = cli("predict", run.folder, "so glad and happy", "--json")
    assert said.code == 0
    # what needs the loss of an opened run reads the training rows again
    page = desk.folder / "page.html"
    assert cli("report", run.folder, "--html", page, "--full").code == 0
    assert "Gradient conflicts" in page.read_text(encoding="utf-8")


def test_check_says_what_labels_weigh(desk: Any, cli: Any) -> None:
    said = cli("check", desk.manifest(tasks=WEIGHTED), "--no-step")
    assert said.code == 0
    assert "topics: pos_weight: " in said.err
    assert "mood: label_weight: " in said.err


def test_a_contradiction_is_one_message_with_its_line(desk: Any, cli: Any) -> None:
    wrong = {
        "topics": {
            "head": {"use": "multi-label", "criterion": "asymmetric", "pos_weight": "balanced"}
        }
    }
    said = cli("check", desk.manifest(tasks=wrong), "--no-step")
    assert said.code == 1
    assert "tasks.topics.head" in said.err
    assert said.err.count("together they do it twice") == 1


def test_rows_drawn_by_label_are_not_weighed_by_label_too(desk: Any, cli: Any) -> None:
    said = cli(
        "check", desk.manifest(tasks={"mood": {**WEIGHTED["mood"], "balance": 0.5}}), "--no-step"
    )
    assert said.code == 1
    assert "tasks.mood.balance: its head's loss makes up for how often each label comes" in said.err


def test_a_weight_of_an_unknown_label_is_found_where_labels_are_learned(desk: Any) -> None:
    wrong = {"topics": {"head": {"use": "multi-label", "pos_weight": {"joi": 2.0}}}}
    with pytest.raises(EmomtlError, match=r"tasks\.topics\.head.*weighs 'joi'"):
        desk.begin(desk.manifest(tasks=wrong))


def test_a_task_that_is_reweighted_keeps_its_share_of_the_encoder(desk: Any) -> None:
    joint = {"use": "proportional", "per_step": "all"}
    shares = {}
    for name, head in (
        ("plain", {}),
        ("balanced", {"pos_weight": "balanced"}),
        ("focal", {"criterion": "focal"}),
    ):
        manifest = desk.manifest(
            name,
            tasks={"topics": {"head": {"use": "multi-label", **head}}},
            sampler=joint,
            weighting={"use": "equal"},
            train={"steps": 4, "log_every": 1},
        )
        events = [
            event for event in desk.train(manifest, name).events() if event["event"] == "step"
        ]
        shares[name] = np.mean(
            [
                e["encoder_grad_norms"]["topics"] / sum(e["encoder_grad_norms"].values())
                for e in events
            ]
        )
    assert all(0.125 < share < 0.875 for share in shares.values()), shares

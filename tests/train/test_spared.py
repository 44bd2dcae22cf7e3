"""What a run on a CPU spares itself, when, and that nothing of it is seen in its updates."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch

from emomtl.train.profiling import Profile
from emomtl.train.step import take_step

STILL = {
    "encoder": {"dropout": 0.0, "pooling": "cls"},
    "tasks": {"mood": {"head": {"dropout": 0.0}}},
}


def begun(desk: Any, out: str, **tables: Any) -> Any:
    session = desk.begin(desk.manifest(out, **STILL, **tables), out)
    session.model.train()
    session.run.close()
    return session


@pytest.mark.parametrize(
    ("pooling", "spared"), [("cls", True), ("pooler", True), ("mean", False), ("max", False)]
)
def test_the_last_layer_is_cut_where_first_tokens_alone_are_read(
    desk: Any, pooling: str, spared: bool
) -> None:
    session = desk.begin(desk.manifest(encoder={"pooling": pooling}), "run")
    session.run.close()
    assert (session.model.first_token is not None) == spared
    assert session.model.encoder.get_input_embeddings().sparse


@pytest.mark.parametrize(
    "tables",
    [
        {"encoder": {"pooling": "cls", "layers": 2}},
        {"encoder": {"pooling": "cls", "changes": [{"use": "pals", "rank": 6, "heads": 3}]}},
        {"encoder": {"pooling": "cls"}, "train": {"unpadded": "on"}},
    ],
    ids=["two layers", "a changed encoder", "texts without padding"],
)
def test_it_is_whole_where_something_else_reads_it(desk: Any, tables: dict[str, Any]) -> None:
    session = desk.begin(desk.manifest(**tables), "run")
    session.run.close()
    assert session.model.first_token is None


def test_a_method_that_compares_gradients_gets_them_dense(desk: Any) -> None:
    session = desk.begin(
        desk.manifest(
            weighting={"use": "gradnorm"}, sampler={"use": "proportional", "per_step": "all"}
        ),
        "run",
    )
    session.run.close()
    assert not session.model.encoder.get_input_embeddings().sparse


def test_five_updates_are_those_of_a_model_that_spares_nothing(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for out in ("sparing", "whole"):
        session = begun(desk, out, train={"accumulate": 2, "lr": 0.01})
        assert (session.model.first_token is not None) == (out == "sparing")
        losses = [
            {task: float(loss) for task, loss in take_step(session).losses.items()}
            for _ in range(5)
        ]
        found.append((losses, dict(session.model.named_parameters())))
        monkeypatch.setattr(sys.modules["emomtl.train.start"], "skip_unread", lambda *_, **__: None)
    for one, other in zip(*(losses for losses, _ in found), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    for name, parameter in found[1][1].items():
        torch.testing.assert_close(found[0][1][name], parameter, rtol=1e-4, atol=1e-5, msg=name)


def test_the_profile_counts_the_arithmetic_that_is_done(desk: Any) -> None:
    session = begun(desk, "run")
    config = session.model.encoder.config
    spared = session.model.first_token.parameters
    profile = Profile("cpu")
    with profile("other"):
        profile.saw(take_step(session).drawing)
    report = profile.report(session)
    session.model.first_token = None
    whole = profile.report(session)
    tokens = profile.real - profile.texts
    expected = 6 * spared * tokens + 12 * config.hidden_size * (profile.squares - profile.real)
    assert math.isclose(whole["model_flops"] - report["model_flops"], expected)
    assert 0 < report["model_flops"] < whole["model_flops"]

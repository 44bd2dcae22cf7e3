"""What a run will cost and what it did cost: tokens, memory, phases, and the same weights with and
without a profile.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from emomtl.train import Session, train
from emomtl.train.cost import static_memory
from emomtl.train.display import Phases
from emomtl.train.profiling import PHASES, Profile, non_embedding_parameters, profiled
from emomtl.train.step import try_step

LEAVE_OUT = {"topics": None}


class Counted(Phases):
    """Counts the tokens of each corpus that steps read, from the batches themselves."""

    def __init__(self) -> None:
        self.real: dict[str, int] = {}
        self.padded = 0

    def saw(self, drawing: Any) -> None:
        for part in (part for parts in drawing.micro for part in parts):
            self.real[part.corpus] = self.real.get(part.corpus, 0) + int(
                (part.inputs["attention_mask"] == 1).sum()
            )
            self.padded += int(np.prod(part.inputs["input_ids"].shape))


def alone(desk: Any, name: str = "alone", **train_: Any) -> Any:
    """A manifest of one task, two whole passes over its 48 rows."""
    changes = {"steps": None, "epochs": 2.0, **train_}
    return desk.manifest(
        name, tasks=LEAVE_OUT, train=changes, sampler={"use": "proportional"}, eval={"every": 100}
    )


def count(session: Session) -> Counted:
    """Train to the end and count."""
    session.phases = counted = Counted()
    train(session)
    return counted


def test_the_foretold_tokens_of_whole_passes_are_exactly_those_that_a_run_reads(
    cli: Any, desk: Any
) -> None:
    manifest = alone(desk)
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    counted = count(desk.begin(manifest))
    assert (
        foretold["tokens"] == foretold["tasks"]["mood"]["tokens"] == sum(counted.real.values()) > 0
    )


@pytest.mark.parametrize("way", ["one", "all"])
def test_the_foretold_tokens_of_two_tasks_are_about_those_that_a_run_reads(
    cli: Any, desk: Any, way: str
) -> None:
    manifest = desk.manifest(
        sampler={"use": "uniform", "per_step": way},
        train={"steps": 60},
        eval={"every": 60},
        checkpoint={"every": 60},
    )
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    counted = count(desk.begin(manifest))
    assert foretold["tokens"] == pytest.approx(sum(counted.real.values()), rel=0.05)
    assert sum(facts["tokens"] for facts in foretold["tasks"].values()) == pytest.approx(
        foretold["tokens"], abs=1
    )


def test_a_text_that_two_tasks_share_in_a_step_is_foretold_once(cli: Any, desk: Any) -> None:
    twin = {"use": "table", "source": "mood.csv", "options": {"split": "part"}}
    manifest = desk.manifest(
        tasks={"topics": None, "twin": twin}, sampler={"use": "uniform", "per_step": "all"}
    )
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    counted = count(desk.begin(manifest))
    assert foretold["tokens"] == pytest.approx(sum(counted.real.values()), rel=0.05)
    assert (
        foretold["tokens"]
        == foretold["tasks"]["mood"]["tokens"]
        == foretold["tasks"]["twin"]["tokens"]
    )


def test_parameters_gradients_and_moments_are_foretold_to_the_byte(
    cli: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.train.cost.SECONDS", 0.0)
    manifest = desk.manifest(sampler={"per_step": "all"})
    found = json.loads(cli("check", manifest, "--json").out)
    session = desk.begin(manifest)
    gradients = 0

    def keep(*_: object, **__: object) -> None:
        nonlocal gradients
        gradients = sum(
            p.grad.nbytes
            for group in session.optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        )

    session.optimizer.register_step_pre_hook(keep)
    session.model.train()
    try_step(session)
    session.run.close()
    moments = sum(
        slots[key].nbytes
        for slots in session.optimizer.state.values()
        for key in ("exp_avg", "exp_avg_sq")
    )
    parameters = sum(
        p.nbytes for module in (session.model, session.weighting) for p in module.parameters()
    )
    gradients += sum(buffer.nbytes for buffer in session.weighting.buffers())
    said = found["memory_bytes"]
    assert (said["parameters"], said["gradients"], said["moments"]) == (
        parameters,
        gradients,
        moments,
    )
    assert static_memory(session) == {
        "parameters": parameters,
        "gradients": gradients,
        "moments": moments,
    }
    assert said["total"] == sum(size for part, size in said.items() if part != "total")
    assert found["parameters"] == sum(p.numel() for p in session.model.parameters())


def test_longer_batches_keep_more_activations(
    cli: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.train.cost.SECONDS", 0.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sizes = []
    for size in (2, 4, 16):
        found = json.loads(cli("check", alone(desk, batch_size=size), "--json").out)
        sizes.append(found["memory_bytes"]["activations"])
    assert 0 < sizes[0] < sizes[1] < sizes[2]


def test_the_phases_of_a_profile_are_all_there_and_their_shares_sum_to_one(desk: Any) -> None:
    session = desk.begin(desk.manifest(sampler={"per_step": "all"}, train={"accumulate": 2}))
    with profiled(session) as report:
        train(session)
    assert json.loads((session.run.folder / "profile.json").read_text()) == report
    assert set(report["shares"]) == set(PHASES)
    assert sum(report["shares"].values()) == pytest.approx(1)
    assert report["seconds"]["total"] == pytest.approx(
        sum(report["seconds"][name] for name in PHASES)
    )
    assert all(report["seconds"][name] > 0 for name in PHASES)
    assert (report["steps"], report["last_step"]) == (6, 6)
    assert 0 < report["overhead_share"] < 1
    assert (
        report["model_flops_utilisation"]
        == report["model_flops_per_second"] / report["machine_flops_per_second"]
    )


def test_the_tokens_and_the_padding_of_a_profile_are_those_of_its_batches(desk: Any) -> None:
    manifest = desk.manifest(sampler={"per_step": "all"}, train={"accumulate": 2})
    counted = count(desk.begin(manifest, "counted"))
    session = desk.begin(manifest, "profiled")
    with profiled(session) as report:
        train(session)
    real = sum(counted.real.values())
    assert report["tokens"] == {"real": real, "padded": counted.padded}
    assert report["padding_share"] == pytest.approx((counted.padded - real) / counted.padded)
    assert real < counted.padded


def test_a_profiled_run_trains_the_same_weights_to_the_bit(desk: Any, contents: Any) -> None:
    manifest = desk.manifest()
    plain = desk.train(manifest, "plain")
    session = desk.begin(manifest, "profiled")
    with profiled(session):
        train(session)
    assert not (plain.folder / "profile.json").exists()
    assert contents(session.run, "last") == contents(plain, "last")


def test_without_the_flag_no_clock_is_read_and_nothing_is_kept(desk: Any) -> None:
    session = desk.begin(desk.manifest())
    session.run.close()
    assert type(session.phases) is Phases
    assert session.phases("forward") is session.phases("backward")
    assert vars(session.phases) == {}


def test_a_phase_inside_another_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr("emomtl.train.profiling.time.perf_counter", lambda: next(clock))
    profile = Profile("cpu")
    with profile("other"), profile("forward"):
        pass
    assert {name: spent for name, spent in profile.seconds.items() if spent} == {
        "other": 20,
        "forward": 10,
    }


def test_the_model_s_flops_are_those_of_the_formula(desk: Any) -> None:
    session = desk.begin(alone(desk))
    lengths = session.tokens["mood", "train"].lengths
    with profiled(session) as report:
        train(session)
    config: Any = session.model.encoder.config
    embeddings = sum(
        p.numel() for name, p in session.model.encoder.named_parameters() if "_embeddings." in name
    )
    whole = sum(p.numel() for p in session.model.encoder.parameters())
    assert non_embedding_parameters(session.model.encoder) == whole - embeddings
    attention = 12 * config.num_hidden_layers * config.hidden_size * 2 * int((lengths**2).sum())
    assert report["model_flops"] == 6 * (whole - embeddings) * 2 * int(lengths.sum()) + attention

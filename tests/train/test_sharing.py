"""Runs whose tasks share less than the whole encoder, or more than it: what learns, what is saved,
and what is exact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.inference.trained import open_trained
from emomtl.model.network import shared_parameters
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train.step import moment_of, try_step

PALS = {"use": "pals", "rank": 6, "heads": 3}
LORA = {"use": "lora", "r": 2, "targets": ["query", "dense"]}
CHANGES: dict[str, list[dict[str, Any]]] = {
    "pals": [PALS],
    "lora": [LORA],
    "lora for each task": [LORA | {"per_task_adapters": True}],
    "frozen": [{"use": "frozen"}],
    "shallow, with pals": [{"use": "shallow", "layers": 1}, PALS],
    "gradual, above frozen embeddings, with pals": [
        {"use": "frozen", "layers": 0},
        PALS,
        {"use": "gradual", "until": 0.9},
    ],
}


def twin(desk: Any) -> dict[str, Any]:
    """A second task on the rows of `mood`, with its labels."""
    return {"use": "table", "source": "mood.csv", "options": {"split": "part"}}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_interrupted_after_every_step_is_the_unbroken_run(
    desk: Any, contents: Any, name: str
) -> None:
    manifest = desk.manifest(
        encoder={"changes": CHANGES[name]}, train={"steps": 5, "weight_decay": 0.1}
    )
    unbroken = contents(desk.train(manifest, "unbroken"))
    resume = False
    while True:
        try:
            desk.train(manifest, "broken", resume=resume, plugins=desk.stopping())
            break
        except KeyboardInterrupt:
            resume = True
    assert contents(desk.folder / "broken") == unbroken


@pytest.mark.parametrize("name", CHANGES)
def test_an_opened_run_answers_as_the_run_did(desk: Any, name: str) -> None:
    manifest = desk.manifest(encoder={"changes": CHANGES[name]}, sampler={"per_step": "all"})
    run = desk.train(manifest)
    opened = open_trained(run.folder, "last", Plugins.discover(), "cpu")
    session = desk.begin(manifest, resume=True)
    for corpus in session.data.corpora:
        tokens = session.tokens[corpus.name, "validation"]
        there = session.evaluator.logits(tokens, corpus.tasks)
        here = opened.evaluator.logits(tokens, corpus.tasks)
        assert all((there[task] == here[task]).all() for task in corpus.tasks)
    session.run.close()


def test_a_step_for_one_task_leaves_what_is_anothers_as_it_was(desk: Any) -> None:
    manifest = desk.manifest(
        encoder={"changes": [PALS]}, train={"weight_decay": 0.5, "warmup": 0.0}
    )
    session = desk.begin(manifest)
    session.model.train()
    seen = set()
    for _ in range(6):
        before = {name: value.clone() for name, value in session.model.encoder.named_parameters()}
        (task,) = try_step(session)
        seen.add(task)
        moved = {
            name
            for name, value in session.model.encoder.named_parameters()
            if not torch.equal(value, before[name])
        }
        owners = {
            session.model.changes.own[name] for name in moved if name in session.model.changes.own
        }
        assert owners <= {task}
        assert moved - set(session.model.changes.own)
    assert seen == {"mood", "topics"}
    session.run.close()


def test_in_a_joint_step_each_task_is_encoded_by_its_own_parts(desk: Any) -> None:
    """The losses are those of models that encode each task's rows alone."""
    quiet = {"dropout": 0.0, "changes": [PALS]}
    tasks = {"topics": None, "twin": twin(desk)} | {
        name: {"head": {"use": "single-label", "dropout": 0.0}} for name in ("mood",)
    }
    manifest = desk.manifest(
        encoder=quiet, tasks=tasks, sampler={"use": "uniform", "per_step": "all"}
    )
    session = desk.begin(manifest)
    session.model.eval()
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    (part,) = drawing.micro[0]
    losses = session.losses.of([part], 1.0, drawing.totals, moment_of(session)).raw
    pooled = []
    for task, targets in part.targets.items():
        inputs = {
            name: torch.from_numpy(array[: len(targets)]) for name, array in part.inputs.items()
        }
        pooled.append(session.model.encode(inputs, task))
        logits = session.model.logits(task, pooled[-1])
        wanted = session.plan.tasks[task].head.loss(logits, torch.from_numpy(targets))
        assert torch.allclose(losses[task], wanted, rtol=1e-5)
    assert len(pooled) == 2
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-4)
    shared = {id(parameter) for parameter in shared_parameters(session.model)}
    own = [p for name, p in session.model.encoder.named_parameters() if "pals." in name]
    assert own
    assert not shared & {id(parameter) for parameter in own}
    session.run.close()


def test_a_frozen_encoder_is_not_in_the_optimiser_and_does_not_move(desk: Any) -> None:
    session = desk.begin(
        desk.manifest(encoder={"changes": [{"use": "frozen"}]}, train={"weight_decay": 0.5})
    )
    names = {name for group in session.optimizer.param_groups for name in group["names"]}
    assert all(name.startswith(("heads.", "weighting.")) for name in names)
    before = {name: value.clone() for name, value in session.model.encoder.state_dict().items()}
    session.model.train()
    for _ in range(3):
        try_step(session)
    assert all(
        torch.equal(value, before[name])
        for name, value in session.model.encoder.state_dict().items()
    )
    session.run.close()


def test_closed_layers_wait_without_decay_and_then_learn(desk: Any) -> None:
    gradual = [{"use": "gradual", "until": 0.8}]
    manifest = desk.manifest(
        encoder={"changes": gradual}, train={"steps": 10, "weight_decay": 0.5, "warmup": 0.0}
    )
    session = desk.begin(manifest)
    session.model.train()
    steps: dict[str, int] = {}
    kept = {name: value.clone() for name, value in session.model.encoder.named_parameters()}
    for step in range(10):
        try_step(session)
        for name, value in session.model.encoder.named_parameters():
            if name not in steps and not torch.equal(value, kept[name]):
                steps[name] = step
    first = {
        part: min(step for name, step in steps.items() if part in name)
        for part in ("layer.1.", "layer.0.", "embeddings.")
    }
    # groups open at 0.8/3, 1.6/3 and 0.8 of ten steps
    assert first == {"layer.1.": 3, "layer.0.": 6, "embeddings.": 8}
    state = session.optimizer.state
    assert {
        int(state[p]["step"])
        for n, p in session.model.encoder.named_parameters()
        if "layer.1." in n and p in state
    } == {7}
    session.run.close()


def test_tasks_that_are_tied_answer_with_one_head_which_a_checkpoint_holds_once(desk: Any) -> None:
    tasks = {"topics": None, "twin": twin(desk) | {"tie": "mood"}}
    run = desk.train(desk.manifest(tasks=tasks))
    saved = open_checkpoint(find_checkpoint(run, "last")).tensors("model")
    assert {name for name in saved if name.startswith("heads.")} == {
        "heads.mood.1.bias",
        "heads.mood.1.weight",
    }
    opened = open_trained(run.folder, "last", Plugins.discover(), "cpu")
    pooled = torch.randn(3, 32)
    assert torch.equal(opened.model.logits("mood", pooled), opened.model.logits("twin", pooled))
    scores = [entry["tasks"] for entry in run.scores() if entry["which"] == "last"]
    assert scores[0]["mood"]["metrics"]["macro_f1"] == scores[0]["twin"]["metrics"]["macro_f1"]


def test_a_tied_head_learns_from_both_tasks(desk: Any) -> None:
    tasks = {"topics": None, "twin": twin(desk) | {"tie": "mood"}}
    session = desk.begin(desk.manifest(tasks=tasks, sampler={"use": "round-robin"}))
    session.model.train()
    trained = []
    for _ in range(2):
        before = session.model.heads["mood"][1].weight.clone()
        trained += list(try_step(session))
        assert session.state.step == 1 or not torch.equal(
            before, session.model.heads["mood"][1].weight
        )
    assert sorted(trained) == ["mood", "twin"]
    session.run.close()


def test_tied_tasks_with_labels_that_only_the_rows_tell_are_compared_when_they_are_read(
    desk: Any,
) -> None:
    from emomtl import EmomtlError

    desk.table("other", 24, ["joy", "fear"], seed=4)
    other = {"use": "table", "source": "other.csv", "options": {"split": "part"}, "tie": "mood"}
    with pytest.raises(
        EmomtlError,
        match=r"tasks.other.tie: the labels differ from those of 'mood': fear, anger, sadness",
    ):
        desk.begin(desk.manifest(tasks={"topics": None, "other": other}))
    assert not (desk.folder / "run").exists()


def test_check_says_whose_the_parameters_are(
    cli: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.train.cost.SECONDS", 0.0)
    manifest = desk.manifest(encoder={"changes": [PALS, {"use": "frozen"}]})
    found = json.loads(cli("check", manifest, "--json").out)
    session = desk.begin(manifest)
    pal = (32 * 6 + 6) + (6 * 32 + 32) + 2 * 3 * (6 * 6 + 6)
    encoder = sum(
        p.numel() for name, p in session.model.encoder.named_parameters() if "pals." not in name
    )
    heads = {"mood": 32 * 3 + 3, "topics": 32 * 4 + 4}
    assert found["sharing"] == {
        "trainable": 2 * pal + sum(heads.values()),
        "shared": encoder,
        "tasks": {task: pal + head for task, head in heads.items()},
    }
    assert found["parameters"] == encoder + sum(found["sharing"]["tasks"].values())
    said = (
        f"parameters: {found['parameters']:,} ({found['sharing']['trainable']:,} trained):"
        f" {encoder:,} shared, "
    )
    assert said in cli("check", manifest).err.replace("\n", " ")
    session.run.close()


def test_a_run_records_whose_its_parameters_are(trained: Run) -> None:
    (began,) = [event for event in trained.events() if event["event"] == "start"]
    counts = began["parameters"]
    assert (
        counts["total"] == counts["trainable"] == counts["shared"] + sum(counts["tasks"].values())
    )


def test_texts_that_each_task_encodes_count_once_a_task(cli: Any, desk: Any) -> None:
    from emomtl.train.profiling import Profile

    tasks = {"topics": None, "twin": twin(desk)}
    manifest = desk.manifest(
        encoder={"changes": [PALS]}, tasks=tasks, sampler={"use": "uniform", "per_step": "all"}
    )
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    session = desk.begin(manifest)
    profile = Profile("cpu", session.model.changes.per_task)
    for _ in range(session.length.total):
        drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
        profile.saw(drawing)
        for stream, n in drawing.advance.items():
            session.state.positions[stream] = session.state.positions.get(stream, 0) + n
        session.state.step += 1
    session.run.close()
    assert foretold["tokens"] == pytest.approx(profile.real, rel=0.05)
    assert foretold["tokens"] == sum(facts["tokens"] for facts in foretold["tasks"].values())


def test_changing_what_is_shared_is_no_resume(desk: Any) -> None:
    from emomtl import EmomtlError

    desk.train(desk.manifest())
    with pytest.raises(EmomtlError, match=r"encoder\.changes"):
        desk.begin(desk.manifest(encoder={"changes": [PALS]}), resume=True)


def test_a_run_with_lora_opens_from_its_own_folder_alone(desk: Any, tmp_path: Path) -> None:
    import shutil

    run = desk.train(desk.manifest(encoder={"changes": [LORA]}))
    moved = Path(shutil.move(run.folder, tmp_path / "moved"))
    names = open_trained(moved, "best", Plugins.discover(), "cpu").model.state_dict()
    assert any("lora_A.shared" in name for name in names)

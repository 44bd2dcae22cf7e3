"""Objectives in a run: their loss joins the task's, is logged, is saved with what it learns, and
what does not fit is said.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl import HeadOutput
from emomtl.compose import compose_file
from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.train.losses import view_of
from emomtl.train.step import losses_of, moment_of, take_step, try_step

CONTRAST = {"use": "supervised-contrastive", "task": "mood", "weight": 0.5, "projection": 4}
ALL = {"sampler": {"per_step": "all"}}


def problems(manifest: Path) -> list[str]:
    with pytest.raises(EmomtlError) as caught:
        compose_file(manifest, [], Plugins.discover())
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_the_loss_of_an_objective_times_its_weight_is_added_to_that_of_its_task(
    desk: Any, accumulate: int
) -> None:
    more = {**ALL, "train": {"accumulate": accumulate}}
    plain = try_step(desk.begin(desk.manifest("plain", **more), "plain"))
    with_it = try_step(
        desk.begin(desk.manifest("with", **more, objectives={"near": CONTRAST}), "with")
    )
    assert set(with_it) == {"mood", "topics", "mood/near"}
    assert with_it["mood"] == pytest.approx(plain["mood"] + 0.5 * with_it["mood/near"], rel=1e-6)
    assert with_it["topics"] == plain["topics"]
    assert with_it["mood/near"] > 0


def test_the_weight_of_the_task_multiplies_both(desk: Any) -> None:
    one = try_step(desk.begin(desk.manifest("one", **ALL, objectives={"near": CONTRAST}), "one"))
    tasks = {"mood": {"weight": 3.0}}
    three = try_step(
        desk.begin(
            desk.manifest("three", **ALL, objectives={"near": CONTRAST}, tasks=tasks), "three"
        )
    )
    assert three["mood"] == pytest.approx(3 * one["mood"], rel=1e-6)
    assert three["mood/near"] == one["mood/near"]


def test_an_objective_of_weight_zero_changes_no_weight_of_encoder_and_heads(desk: Any) -> None:
    with_it, plain = (
        desk.begin(desk.manifest(name, **ALL, objectives=extra), name)
        for name, extra in (("zero", {"near": {**CONTRAST, "weight": 0.0}}), ("none", {}))
    )
    for _ in range(3):
        take_step(with_it), take_step(plain)
    after = with_it.model.state_dict()
    assert all(
        torch.equal(after[name], tensor) for name, tensor in plain.model.state_dict().items()
    )


def test_losses_without_a_step_are_those_of_the_step_and_change_nothing(desk: Any) -> None:
    session = desk.begin(desk.manifest(**ALL, objectives={"near": CONTRAST}))
    session.model.eval()
    before = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    found = losses_of(session, drawing.micro[0])
    assert set(found) == {"mood", "topics"}
    assert all(loss.requires_grad for loss in found.values())
    assert all(
        torch.equal(before[name], tensor) for name, tensor in session.model.state_dict().items()
    )
    assert session.state.step == 0


def test_its_loss_is_logged_under_its_task_and_its_options_are_written_into_the_run(
    desk: Any,
) -> None:
    run = desk.train(desk.manifest(**ALL, objectives={"near": CONTRAST}))
    logged = [event["losses"] for event in run.events() if event["event"] == "step"]
    assert all(set(one) == {"mood", "topics", "mood/near"} for one in logged)
    table = run.manifest.objectives["near"]
    assert (table.use, table.task, table.weight) == ("supervised-contrastive", "mood", 0.5)
    assert table.options == {"temperature": 0.3, "projection": 4}


def test_samplers_and_weightings_see_the_losses_of_tasks_alone(desk: Any) -> None:
    session = desk.begin(desk.manifest(**ALL, objectives={"near": CONTRAST}))
    session.state.losses = {"mood": 1.0, "topics": 2.0, "mood/near": 3.0}
    assert moment_of(session).losses == {"mood": 1.0, "topics": 2.0}


def test_an_objective_sees_the_texts_of_its_task_and_what_others_answer_for_these() -> None:
    pooled = torch.arange(12.0).reshape(6, 2)
    answers = {
        task: HeadOutput(pooled[:n], torch.zeros(n, 2))
        for task, n in (("few", 2), ("some", 4), ("all", 6))
    }
    view = view_of("some", pooled[:4], answers)
    assert torch.equal(view.pooled, pooled[:4])
    assert view.own is answers["some"]
    assert {task: len(one.logits) for task, one in view.others.items()} == {"few": 2, "all": 4}
    assert all(len(one.logits) == len(one.targets) for one in view.others.values())


def test_what_an_objective_learns_is_trained_saved_and_opened_again(
    desk: Any, cli: Callable[..., Any]
) -> None:
    manifest = desk.manifest(**ALL, objectives={"near": CONTRAST}, train={"steps": 2})
    session = desk.begin(manifest, "untrained")
    fresh = {
        name: one.clone()
        for name, one in session.model.state_dict().items()
        if name.startswith("objectives.near.")
    }
    run = desk.train(manifest)
    from emomtl.run import find_checkpoint, open_checkpoint

    saved = open_checkpoint(find_checkpoint(run, "last")).tensors("model")
    assert fresh
    assert all(not torch.equal(saved[name], one) for name, one in fresh.items())
    assert cli("eval", run.folder, "--split", "test").code == 0
    assert cli("predict", run.folder, "a happy friend").code == 0


def test_a_projection_learns_at_the_rate_of_its_tasks_head(desk: Any) -> None:
    tasks = {"mood": {"head": {"lr": 0.25}}}
    session = desk.begin(desk.manifest(tasks=tasks, objectives={"near": CONTRAST}))
    rates = {
        name: group["peak"] for group in session.optimizer.param_groups for name in group["names"]
    }
    assert {
        rates[name] for name in rates if name.startswith(("objectives.near", "heads.mood"))
    } == {0.25}


def test_everything_that_does_not_fit_is_said_at_once_with_its_line(desk: Any) -> None:
    objectives = {
        "topics": {**CONTRAST},
        "lost": {**CONTRAST, "task": "moood"},
        "unknown": {"use": "supervised-contrastiv", "task": "mood"},
        "hot": {**CONTRAST, "temperature": 0.0},
        "alone": {"use": "hierarchical", "task": "mood", "between": "nowhere"},
        "itself": {"use": "hierarchical", "task": "mood", "between": "mood"},
    }
    said = "\n".join(problems(desk.manifest(objectives=objectives)))
    assert "objectives.topics: 'topics' is a task of this run, too" in said
    assert "objectives.lost.task: 'moood' is no task of this run (did you mean 'mood'?)" in said
    assert "objectives.unknown.use: objective 'supervised-contrastiv' is not installed" in said
    assert "objectives.hot.temperature" in said
    assert "objectives.alone: 'nowhere' is no other task of this run" in said
    assert "needs the answers of 'nowhere' on the same texts" in said
    assert "objectives.itself: 'mood' is no other task of this run" in said
    assert said.count("small.toml:") == len(said.split("\n"))


def test_labels_that_are_learned_from_the_rows_are_checked_once_they_are_read(desk: Any) -> None:
    manifest = desk.manifest(objectives={"tree": {"use": "hierarchical", "task": "mood"}})
    compose_file(manifest, [], Plugins.discover())
    with pytest.raises(
        EmomtlError,
        match=r"objectives\.tree: there is nothing to compare the labels of 'mood' with",
    ):
        desk.begin(manifest)
    assert not (desk.folder / "run").exists()


DEMO = {
    "tasks": {"mood": None, "topics": None, "demo": {}, "demo-ekman": {}},
    "sampler": {"use": "proportional", "per_step": "all"},
    "objectives": {"tree": {"use": "hierarchical", "task": "demo", "between": "demo-ekman"}},
}


def test_a_fine_and_a_coarse_head_of_one_corpus_are_trained_to_agree(desk: Any) -> None:
    found = try_step(desk.begin(desk.manifest(**DEMO)))
    assert found["demo/tree"] > 0


def test_agreement_needs_both_tasks_in_one_step_and_the_same_texts(desk: Any) -> None:
    said = problems(desk.manifest(**{**DEMO, "sampler": {"per_step": "one"}}))
    assert ["needs the answers of 'demo-ekman' on the same texts" in line for line in said] == [
        True
    ]
    other = {"use": "demo-ekman", "source": str(_copy(desk.folder))}
    manifest = desk.manifest(**{**DEMO, "tasks": {**DEMO["tasks"], "demo-ekman": other}})  # type: ignore[dict-item]
    with pytest.raises(EmomtlError, match="'demo-ekman' and 'demo' do not read the same texts"):
        desk.begin(manifest)


def _copy(folder: Path) -> Path:
    """The demo corpus elsewhere: the same rows from another source."""
    import shutil

    import emomtl_tasks.demo

    return Path(shutil.copytree(Path(emomtl_tasks.demo.__file__).parent, folder / "copied"))


@pytest.mark.parametrize(
    "objective",
    [CONTRAST, {"use": "label-aware-contrastive", "task": "topics"}],
    ids=lambda one: one["use"],
)
def test_a_run_with_an_objective_that_was_interrupted_is_the_unbroken_run(
    desk: Any, contents: Any, objective: Any
) -> None:

    changes = {"train": {"steps": 4, "accumulate": 2, "log_every": 3}, "eval": {"every": 3}}
    manifest = desk.manifest(**ALL, objectives={"near": objective}, **changes)
    unbroken, resume = contents(desk.train(manifest, "unbroken")), False
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            desk.train(manifest, "broken", resume=resume, plugins=desk.stopping())
        resume = True
    desk.train(manifest, "broken", resume=True)
    assert contents(desk.folder / "broken") == unbroken

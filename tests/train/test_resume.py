"""A run that was interrupted at any step boundary, however often, and resumed is bit for bit the
run that was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.train import train

STEPS = 8
BASE: dict[str, Any] = {
    "train": {"steps": STEPS, "accumulate": 2, "log_every": 3, "weight_decay": 0.1},
    "eval": {"every": 3},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "every task in every step": {"sampler": {"per_step": "all"}},
    "dwa": {"sampler": {"per_step": "all"}, "weighting": {"use": "dwa", "window": 2}},
    "masked tokens beside": {
        "tasks": {
            "words": {"use": "masked-tokens", "options": {"of": "mood"}, "head": {"dropout": 0.1}}
        },
        "sampler": {"use": "uniform", "per_step": "all"},
    },
    "masked tokens in turn": {
        "tasks": {"words": {"use": "masked-tokens", "options": {"of": "mood"}}},
        "sampler": {"use": "round-robin"},
    },
    "random": {"weighting": {"use": "random"}},
    "famo": {"sampler": {"per_step": "all"}, "weighting": {"use": "famo"}},
    "gradnorm": {"sampler": {"per_step": "all"}, "weighting": {"use": "gradnorm"}},
    "pcgrad": {"sampler": {"per_step": "all"}, "weighting": {"use": "pcgrad"}},
    "graddrop": {
        "sampler": {"per_step": "all"},
        "weighting": {"use": "graddrop", "scope": "last-layer"},
    },
    "gradvac": {"sampler": {"per_step": "all"}, "weighting": {"use": "gradvac"}},
    "nash-mtl": {
        "sampler": {"per_step": "all"},
        "weighting": {"use": "nash-mtl", "update_every": 3},
    },
    "task prioritisation": {"weighting": {"use": "task-prioritisation"}},
    "annealing by epochs, no buckets": {
        "sampler": {"by": "epoch"},
        "data": {"buckets": False},
        "train": {"batch_size": 24},
    },
    "two layers at two rates, head and tail": {
        "encoder": {
            "layers": 2,
            "layers_by": "concat",
            "truncate": "head+tail",
            "head_tokens": 3,
            "max_tokens": 10,
        },
        "train": {"layer_decay": 0.5},
    },
    "target updates": {"train": {"steps": None, "target_updates": 4, "target": "topics"}},
    "epochs, round robin": {
        "sampler": {"use": "round-robin"},
        "train": {"steps": None, "epochs": 1.0},
        "eval": {"every": None},
    },
}


class Stopping(Plugins):
    """Installed plugins that stop the process, as Ctrl-C does, when a checkpoint is complete and
    `due` says so.
    """

    def emit(self, event: str, **facts: Any) -> list[Any]:
        answers = super().emit(event, **facts)
        if event == "emomtl_checkpointed":
            self.due(facts["run"], facts["path"])
        return answers

    due: Callable[[Run, Path], None]


def interrupt(run: Run, path: Path) -> None:
    raise KeyboardInterrupt


def stopping(due: Callable[[Run, Path], None] = interrupt) -> Stopping:
    plugins = Stopping.discover()
    plugins.due = due
    return plugins


def laid_over(*layers: dict[str, Any]) -> dict[str, Any]:
    """Tables merged one level deep."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            merged[key] = {**merged.get(key, {}), **value}
    return merged


def test_a_run_interrupted_at_any_step_boundary_and_resumed_is_the_unbroken_run(
    desk: Any, contents: Any
) -> None:
    manifest = desk.manifest(**BASE)

    def copy(run: Run, path: Path) -> None:
        shutil.copytree(run.folder, desk.folder / f"at-{int(path.name[5:])}", symlinks=True)

    unbroken = contents(desk.train(manifest, "unbroken", plugins=stopping(copy)))
    assert unbroken["state"]["finished"]
    assert all(n > 0 for n in unbroken["state"]["counts"].values())
    assert {key.split(":")[0] for key in unbroken["tensors"]} == {"model", "optimizer", "weighting"}
    for step in range(1, STEPS + 1):
        again = contents(desk.train(manifest, f"at-{step}", resume=True))
        for part in unbroken:
            assert again[part] == unbroken[part], (
                f"{part} differs after an interruption at step {step}"
            )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_interrupted_after_every_step_is_the_unbroken_run(
    desk: Any, contents: Any, variant: str
) -> None:
    manifest = desk.manifest(**laid_over(BASE, VARIANTS[variant]))
    unbroken = contents(desk.train(manifest, "unbroken"))
    interrupted, resume = 0, False
    while True:
        try:
            desk.train(manifest, "broken", resume=resume, plugins=stopping())
            break
        except KeyboardInterrupt:
            interrupted, resume = interrupted + 1, True
    assert interrupted == unbroken["state"]["step"]
    assert contents(desk.folder / "broken") == unbroken


class InEveryStep(Plugins):
    """Stops the process once in every step, when it is taken and logged and no checkpoint of it is
    written.
    """

    seen: set[int]

    def emit(self, event: str, **facts: Any) -> list[Any]:
        answers = super().emit(event, **facts)
        if event == "emomtl_stepped" and facts["step"] not in self.seen:
            self.seen.add(facts["step"])
            raise KeyboardInterrupt
        return answers


@pytest.mark.parametrize(
    "variant", ["dwa", "masked tokens beside", "gradnorm", "annealing by epochs, no buckets"]
)
def test_a_run_interrupted_within_every_step_is_the_unbroken_run(
    desk: Any, contents: Any, variant: str
) -> None:
    seldom = {"train": {"log_every": 1}, "checkpoint": {"every": 3}, "eval": {"every": 4}}
    manifest = desk.manifest(**laid_over(BASE, VARIANTS[variant], seldom))
    unbroken = contents(desk.train(manifest, "unbroken"))
    plugins = InEveryStep.discover()
    plugins.seen, begun, resume = set(), [], False
    while True:
        try:
            session = desk.begin(manifest, "broken", resume=resume, plugins=plugins)
            begun.append(session.state.step)
            train(session)
            break
        except KeyboardInterrupt:
            resume = True
    assert begun == [
        0,
        0,
        0,
        0,
        3,
        4,
        4,
        6,
        6,
    ], "from the last checkpoint, which lies behind the step that was stopped"
    assert contents(desk.folder / "broken") == unbroken


def test_patience_and_the_best_checkpoint_survive_an_interruption(desk: Any, contents: Any) -> None:
    changes = {"train": {"steps": 20, "lr": 1e-9}, "eval": {"every": 2, "patience": 3}}
    manifest = desk.manifest(**laid_over(BASE, changes))
    unbroken = contents(desk.train(manifest, "unbroken"))
    assert (
        unbroken["state"]["stopped"]
        == "the mean over tasks of their main metrics has not improved in 3 evaluations"
    )
    assert unbroken["state"]["step"] == 8
    assert unbroken["links"] == {
        "best": "step-00000008",
        "last": "step-00000008",
    }, "of equal checkpoints the later is best"

    def at_five(run: Run, path: Path) -> None:
        if path.name.endswith("5"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "broken", plugins=stopping(at_five))
    assert sorted(
        path.name for path in (desk.folder / "broken" / "checkpoints").glob("step-*")
    ) == ["step-00000004", "step-00000005"]
    assert contents(desk.train(manifest, "broken", resume=True)) == unbroken


def test_the_losses_that_are_logged_after_a_resume_are_means_over_the_whole_window(
    desk: Any,
) -> None:
    every = desk.train(desk.manifest(**laid_over(BASE, {"train": {"log_every": 1}})), "every")
    by_step: dict[str, list[float]] = {}
    wanted = []
    for event in every.events():
        if event["event"] == "step":
            for task, loss in event["losses"].items():
                by_step.setdefault(task, []).append(loss)
            if event["step"] % 3 == 0 or event["step"] == STEPS:
                wanted.append({task: sum(losses) / len(losses) for task, losses in by_step.items()})
                by_step = {}

    def in_a_window(run: Run, path: Path) -> None:
        if path.name[-1] in "1257":
            raise KeyboardInterrupt

    manifest, resume, run = desk.manifest(**BASE), False, None
    while run is None:
        try:
            run = desk.train(manifest, "broken", resume=resume, plugins=stopping(in_a_window))
        except KeyboardInterrupt:
            resume = True
    logged = [event["losses"] for event in run.events() if event["event"] == "step"]
    assert len(logged) == len(wanted) == 3
    for found, mean in zip(logged, wanted, strict=True):
        assert found == pytest.approx(mean, rel=1e-6)


def test_a_resume_without_any_checkpoint_begins_anew_with_the_same_result(
    desk: Any, contents: Any
) -> None:
    manifest = desk.manifest(
        **laid_over(
            BASE, {"checkpoint": {"every": 100}, "train": {"steps": 4}, "eval": {"every": 4}}
        )
    )
    unbroken = contents(desk.train(manifest, "unbroken"))
    session = desk.begin(manifest, "broken")
    session.run.log_event("start", step=0)
    session.run.log_event("step", step=2, losses={})
    session.run.close()
    assert contents(desk.train(manifest, "broken", resume=True)) == unbroken


def test_resuming_a_finished_run_changes_nothing(desk: Any, contents: Any) -> None:
    manifest = desk.manifest(**laid_over(BASE, {"train": {"steps": 3}}))
    once = contents(desk.train(manifest))
    assert contents(desk.train(manifest, resume=True)) == once

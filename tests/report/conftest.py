"""Runs as training leaves them behind, written through the run directory without training anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from emomtl.manifest import EncoderTable, EvalTable, Manifest, SamplerTable, TaskTable, TrainTable
from emomtl.run import Run

BOTH = {"goemotions": 4000, "sst2": 1000}
ROWS = {"goemotions": 200, "sst2": 100}
NAMES = (
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "subset_accuracy",
)
MULTI = {name + suffix: 0.4 for suffix in ("", "_at_0.3") for name in NAMES} | {
    "ekman/macro_f1": 0.5
}
SINGLE = {"top1_accuracy": 0.8, "macro_f1": 0.78, "weighted_f1": 0.79}

Scores = dict[str, Any]
Maker = Callable[..., Path]


def multi_label(
    f1: float | None, rows: int = ROWS["goemotions"], labels: Sequence[str] = ("joy", "grief")
) -> Scores:
    """Scores of a multi-label task with one grouping, its second label never predicted and never
    there.
    """
    table = [
        {"label": name, "support": 5, "predicted": 4, "precision": 0.5, "recall": 0.4, "f1": f1}
        for name in labels
    ]
    table[-1] |= {"support": 0, "predicted": 0, "precision": None, "recall": None, "f1": None}
    tables = {
        "": [{**row, "f1_at_0.3": 0.1} for row in table],
        "ekman": [{**table[0], "label": "joy", "f1_at_0.3": 0.2}],
    }
    undefined = [f"no row has {labels[-1]}: left out of macro means where nothing was predicted"]
    return {
        "rows": rows,
        "metrics": {**MULTI, "macro_f1": f1},
        "tables": tables,
        "undefined": undefined,
    }


def single_label(f1: float | None, rows: int = ROWS["sst2"]) -> Scores:
    """Scores of a single-label task."""
    row = {
        "label": "negative",
        "support": 50,
        "predicted": 49,
        "precision": 0.8,
        "recall": 0.8,
        "f1": f1,
    }
    return {
        "rows": rows,
        "metrics": {**SINGLE, "macro_f1": f1},
        "tables": {"": [row]},
        "undefined": [],
    }


def regression(r: float | None) -> Scores:
    """Scores of a regression with two dimensions."""
    metrics = {"pearson_r": r, "pearson_r_valence": r, "pearson_r_arousal": 0.3}
    metrics |= {"rmse": 0.9, "rmse_valence": 1.0, "rmse_arousal": 0.8}
    row = {"label": "valence", "support": 90, "pearson_r": r, "rmse": 1.0}
    return {"rows": 90, "metrics": metrics, "tables": {"": [row]}, "undefined": []}


def scores_of(task: str, f1: float | None) -> Scores:
    """Scores by the kind of head that a task has here."""
    return (
        single_label(f1)
        if task == "sst2"
        else regression(f1)
        if task == "emobank"
        else multi_label(f1)
    )


def step_event(
    step: int, share: Mapping[str, float], updates: Mapping[str, int], counts: Mapping[str, int]
) -> dict[str, Any]:
    """What the loop logs of a step."""
    return {
        "step": step,
        "progress": 0.5,
        "rate": 1.0,
        "losses": {task: 1.0 / (step + place) + 0.2 for place, task in enumerate(share)},
        "weights": dict.fromkeys(share, 1.0),
        "probabilities": dict(share),
        "counts": dict(counts),
        "updates": dict(updates),
        "grad_norm": 1.0,
    }


def log_training(
    run: Run, share: Mapping[str, float], steps: int, log_every: int, batch: int, seed: int
) -> None:
    """Draw one task a step (every task where the run does so), and log as the loop does."""
    draw, updates, counts = random.Random(seed), dict.fromkeys(share, 0), dict.fromkeys(share, 0)
    joint = run.manifest.sampler.per_step == "all"
    for step in range(1, steps + 1):
        for task in share if joint else draw.choices(list(share), list(share.values())):
            updates[task] += 1
            counts[task] += round(batch * len(share) * share[task]) if joint else batch
        if step % log_every == 0 or step == steps:
            run.log_event("step", **step_event(step, share, updates, counts))


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Write the folder of a run: finished, with scores of best and last, unless told otherwise."""

    def made(
        name: str = "both",
        folder: str | None = None,
        sizes: Mapping[str, int] = BOTH,
        per_step: str = "one",
        steps: int = 100,
        log_every: int = 10,
        seed: int = 17,
        best: float | None = 0.4,
        last: float | None = 0.3,
        finished: bool = True,
        select: str | None = None,
        test: int = 0,
        scores: Callable[[str, float | None], Scores] = scores_of,
    ) -> Path:
        chosen = select or f"{next(iter(sizes))}/macro_f1"
        manifest = Manifest(
            name=name,
            seed=seed,
            encoder=EncoderTable(use="minilm"),
            tasks={task: TaskTable() for task in sizes},
            sampler=SamplerTable(use="proportional", per_step=per_step),
            train=TrainTable(steps=max(1, steps), log_every=log_every, batch_size=8),
            eval=EvalTable(select=chosen),
        )
        path = tmp_path / (folder or name)
        environment = {
            "sizes": dict(sizes),
            "data": {task: f"fingerprint of {task}" for task in sizes},
        }
        with Run.create(path, manifest, environment) as run:
            if not steps:
                return path
            run.log_event("start", step=0, total=steps, epochs=1.0)
            whole = sum(sizes.values())
            log_training(
                run, {task: n / whole for task, n in sizes.items()}, steps, log_every, 8, seed
            )
            for step, value, better in ((steps // 2, best, True), (steps, last, False)):
                found = {task: scores(task, value)["metrics"] for task in sizes}
                run.log_event(
                    "evaluation", step=step, scores=found, selected=value, best=better, reasons=[]
                )
            if finished:
                run.log_event("finish", step=steps, reason="finished", skipped=0)
                for which, step, value in (("last", steps, last), ("best", steps // 2, best)):
                    run.add_scores(
                        evaluation(
                            "validation", which, step, "train", {t: scores(t, value) for t in sizes}
                        )
                    )
            for _ in range(test):
                run.add_scores(
                    evaluation(
                        "test",
                        "best",
                        steps // 2,
                        "eval",
                        {task: scores(task, 0.2) for task in sizes},
                    )
                )
        return path

    return made


@pytest.fixture
def scores() -> Callable[[str, float | None], Scores]:
    """Scores of a task by the kind of head that it has here: (task, its main metric's value)."""
    return scores_of


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """An entry of scores.json: (split, which, step, by, scores by task)."""
    return evaluation


def evaluation(
    split: str, which: str, step: int, by: str, tasks: Mapping[str, Scores]
) -> dict[str, Any]:
    """An entry of scores.json."""
    return {
        "split": split,
        "which": which,
        "checkpoint": f"step-{step:08d}",
        "step": step,
        "by": by,
        "tasks": dict(tasks),
    }

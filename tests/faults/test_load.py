"""Many plugins, tasks, labels and steps: operations are counted, not timed. Times are in
tests/benchmarks/load.py.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emomtl import SingleLabel, Taxonomy
from emomtl.analyses.answers import parts
from emomtl.analyses.answers.confusion import DRAWN, LONGEST, confusion_table
from emomtl.analyses.answers.kept import Kept
from emomtl.contracts.sampler import Moment
from emomtl.metrics.predictions import TaskPredictions
from emomtl.metrics.tuning import fit_scaling, scaling
from emomtl.plugins.discovery import Plugins
from emomtl.report import collect
from emomtl.report.collect import RunResult
from emomtl.report.sampling import sampling_table
from emomtl.train import forecast

PLUGIN = """
from emomtl import hookimpl

@hookimpl
def emomtl_encoders():
    return {names!r}
"""
LISTENER = """
import gc, os
from emomtl import hookimpl
SEEN = []

@hookimpl
def emomtl_stepped(run, step, losses):
    gc.collect()
    SEEN.append((len(gc.get_objects()), len(os.listdir("/proc/self/fd"))))
"""


def test_metadata_of_a_distribution_is_read_once(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        names = {f"load-{number}-{name}": None for name in range(6)}
        install(
            f"load-{number}",
            {f"load_{number}": PLUGIN.format(names=names)},
            dict.fromkeys(names, f"load_{number}"),
        )
    reads: Counter[str] = Counter()
    real = importlib.metadata.PathDistribution.read_text

    def counted(self: Any, name: str) -> str | None:
        if name == "METADATA":
            reads[str(self._path)] += 1
        return real(self, name)

    monkeypatch.setattr(importlib.metadata.PathDistribution, "read_text", counted)
    plugins = Plugins.discover()
    for number in range(12):
        plugins.activate(f"load-{number}", Path())
        plugins.offer("encoder", f"load-{number}-0")
    assert len(plugins.offers("encoder")) >= 72
    assert len(plugins.entries) >= 72
    ours = [times for path, times in reads.items() if "load_" in path]
    assert len(ours) == 12
    assert max(ours) <= 2  # its name and its version


@pytest.mark.parametrize("tasks", [20, 40])
def test_a_report_is_linear_in_tasks(tasks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, real = 0, collect._is_count

    def counted(value: object, least: int = 1) -> bool:
        nonlocal looked
        looked += 1
        return real(value, least)

    monkeypatch.setattr(collect, "_is_count", counted)
    names = [f"task-{number}" for number in range(tasks)]
    table = SimpleNamespace(trained=True, batch_size=None)
    run: Any = SimpleNamespace(
        tasks=dict.fromkeys(names, table),
        train=SimpleNamespace(batch_size=8),
        sampler=SimpleNamespace(per_step="one"),
    )
    numbers = {
        "probabilities": dict.fromkeys(names, 1 / tasks),
        **{key: dict.fromkeys(names, 9) for key in ("counts", "updates")},
    }
    result = RunResult(
        "run",
        Path(),
        run,
        {"sizes": dict.fromkeys(names, 9)},
        steps=[{"step": 9 * tasks, **numbers}],
    )
    assert [row[-2] for row in sampling_table([result])[0].rows] == [1.0] * tasks
    assert looked == tasks


def test_vector_scaling_needs_no_more_passes_for_many_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked, real = 0, scaling.negative_log_likelihood

    def counted(*given: Any) -> float:
        nonlocal looked
        looked += 1
        return real(*given)

    monkeypatch.setattr(scaling, "negative_log_likelihood", counted)
    draw = np.random.default_rng(0)
    times = []
    for labels in (4, 64):
        before, probabilities = looked, draw.random((200, labels))
        fit_scaling(
            probabilities, (draw.random((200, labels)) < probabilities).astype(float), "vector"
        )
        times.append(looked - before)
    assert times[1] < 3 * times[0]


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_gradient_of_scaling_is_that_of_its_cost(exclusive: bool) -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(size=(9, 3))
    targets = (
        draw.integers(0, 3, 9)
        if exclusive
        else np.where(draw.random((9, 3)) < 0.2, np.nan, draw.integers(0, 2, (9, 3)))
    )
    found = scaling._gradient(scaling._squash(logits, exclusive), targets)
    for place in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][place] -= 1e-5
        moved[1][place] += 1e-5
        low, high = (
            scaling.negative_log_likelihood(scaling._squash(one, exclusive), targets)
            for one in moved
        )
        assert found[place] == pytest.approx((high - low) / 2e-5, abs=1e-8)


def test_of_many_labels_the_commonest_confusions_are_listed() -> None:
    names = [f"label-{number:02d}" for number in range(DRAWN + 1)]
    draw = np.random.default_rng(2)
    targets, probabilities = draw.integers(0, len(names), 900), draw.random((900, len(names)))
    answers = TaskPredictions(targets, probabilities)
    kept = Kept(1, "run", "mood", "validation", SingleLabel(), Taxonomy(names), answers, None)
    (level,) = kept.levels()
    table = confusion_table(kept, level)
    wrong = Counter(
        (names[a], names[b])
        for a, b in zip(targets, probabilities.argmax(axis=1), strict=True)
        if a != b
    )
    expected = sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))
    assert [(row[:2], row[2]) for row in table.rows] == expected[:LONGEST]
    assert f"{len(expected) - LONGEST} rarer pairs are left out" in table.notes


def test_steps_leave_no_objects_and_no_open_files_behind(desk: Any) -> None:
    (desk.folder / "listener.py").write_text(LISTENER, encoding="utf-8")
    each = {
        "train": {"steps": 120, "log_every": 10},
        "eval": {"every": 30},
        "checkpoint": {"every": 30},
    }
    plan = desk.begin(desk.manifest(**each, plugins=["./listener.py"]))
    from emomtl.train import train

    train(plan)
    module = next(
        plugin.module for plugin in plan.plan.plugins.active if plugin.label.endswith("listener.py")
    )
    objects, files = zip(*module.SEEN, strict=True)
    assert len(objects) == 12
    assert max(files[4:]) <= files[3]
    assert objects[-1] - objects[5] < 100, objects


def test_a_forecast_asks_a_steady_sampler_four_times_a_point() -> None:
    names = [f"task-{number}" for number in range(40)]
    moment = Moment(7, 0.5, 0, 1, dict.fromkeys(names, 9))
    for turns, wanted in ((False, 4), (True, 42)):
        asked = 0

        def probabilities(at: Moment, turns: bool = turns) -> dict[str, float]:
            nonlocal asked
            asked += 1
            return {names[at.step % 40]: 2.0} if turns else dict.fromkeys(names, 0.5)

        plan: Any = SimpleNamespace(sampler=SimpleNamespace(probabilities=probabilities))
        assert forecast._mean_over_a_cycle(plan, moment) == pytest.approx(
            dict.fromkeys(names, 1 / 40)
        )
        assert asked == wanted


def test_a_page_of_many_tasks_has_few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    answers = TaskPredictions(draw.integers(0, 3, 20), draw.random((20, 3)))
    labels = Taxonomy(["joy", "anger", "fear"])
    kept = [
        Kept(1, "run", name, "validation", SingleLabel(), labels, answers, answers)
        for name in ("mood", "other")
    ]
    monkeypatch.setattr(parts, "kept_of", lambda results, split: (kept, []))
    monkeypatch.setattr(parts, "PICTURED", 1)
    *shown, missing = parts.answered([], "validation")
    assert [len(part.tables) for part in shown] == [2, 2, 2]
    assert all(len(part.pictures) == 1 for part in shown)
    assert missing.tables[0].notes == (
        "pictures are of the first 1 tasks of 2: `--figures FOLDER` draws those of all",
    )
    assert [len(part.pictures) for part in parts.answered([], "validation", every=True)] == [
        2,
        2,
        2,
    ]

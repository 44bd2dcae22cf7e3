"""Label noise: a share of the training rows, the same ones for a seed, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl import Example, Files, Head, MultiLabel, Regression, SingleLabel, Task, Taxonomy
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.corpus import TaskData
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError
from emomtl.manifest import TaskTable

LABELS = Taxonomy(["joy", "anger", "fear", "calm"])
HEADS: dict[str, Head] = {
    "one": SingleLabel(),
    "several": MultiLabel(),
    "numbers": Regression(("valence",)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "validation", "test"):
        rows = [{"text": f"{split} {i}", "label": i % 4} for i in range(1000)]
        (tmp_path / f"{split}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    return tmp_path


def data(folder: Path, kind: str, share: float, seed: int = 17, name: str = "mood") -> TaskData:
    def read(row: Mapping[str, Any]) -> Example:
        number = row["label"]
        if number == 3 and row["text"].endswith("99"):
            return Example(row["text"], None)
        names = LABELS.names[: number + 1]
        return Example(
            row["text"],
            {"one": names[-1], "several": list(names), "numbers": [float(number)]}[kind],
        )

    task = Task(name, Files("*"), read, None if kind == "numbers" else LABELS, head=HEADS[kind])
    found = locate(task.layouts, str(folder), folder, name)
    return read_tasks(
        [BoundTask(name, task, task.head, TaskTable(label_noise=share), found)],
        ReadOptions(seed=seed),
    )


@pytest.mark.parametrize("kind", HEADS)
def test_noise_replaces_a_share_of_training_rows_and_nothing_else(folder: Path, kind: str) -> None:
    clean, noisy = data(folder, kind, 0.0), data(folder, kind, 0.3)
    before, after = (one.rows("mood", "train").targets for one in (clean, noisy))
    differs = ~np.array(
        [np.array_equal(a, b, equal_nan=kind != "one") for a, b in zip(before, after, strict=True)]
    )
    found = noisy.noise["mood"]
    assert found.rows == 990
    assert found.replaced == pytest.approx(0.3 * 990, abs=45)
    assert found.changed == differs.sum()
    assert (
        found.replaced == found.changed
        if kind == "one"
        else found.replaced >= found.changed > 0.6 * found.replaced
    )
    head = HEADS[kind]
    assert np.array_equal(head.present(before), head.present(after))
    if kind != "one":
        assert np.array_equal(np.nansum(before, axis=0), np.nansum(after, axis=0))
    for split in ("validation", "test"):
        assert np.array_equal(
            clean.rows("mood", split).targets,
            noisy.rows("mood", split).targets,
            equal_nan=kind != "one",
        )
    assert any("label noise 0.3" in note for note in noisy.notes)
    assert clean.noise == {}


def test_another_label_is_drawn_uniformly(folder: Path) -> None:
    before, after = (
        data(folder, "one", share).rows("mood", "train").targets for share in (0.0, 0.9)
    )
    steps = np.bincount((after - before)[before >= 0] % 4, minlength=4)[1:]
    assert steps.min() > 0.8 * steps.mean()


def test_noise_of_a_smaller_share_is_part_of_a_larger(folder: Path) -> None:
    clean = data(folder, "one", 0.0).rows("mood", "train").targets

    def changed(share: float, seed: int = 17, name: str = "mood") -> set[int]:
        return set(
            np.flatnonzero(
                data(folder, "one", share, seed, name).rows(name, "train").targets != clean
            ).tolist()
        )

    assert changed(0.2) == changed(0.2)
    assert changed(0.2) < changed(0.4)
    assert changed(0.2) != changed(0.2, seed=18)
    assert changed(0.2) != changed(0.2, name="other")


COARSE = Taxonomy(["good", "bad"])
GROUP = {"joy": "good", "calm": "good", "anger": "bad", "fear": "bad"}


def beside(
    folder: Path, noise_from: str | None, limits: tuple[int | None, int | None] = (None, None)
) -> TaskData:
    """Fine labels with noise, and the coarse labels of the same rows, of which one follows the
    other or not.
    """

    def fine(row: Mapping[str, Any]) -> Example:
        return Example(row["text"], list(LABELS.names[row["label"] : row["label"] + 2]))

    def coarse(row: Mapping[str, Any]) -> Example:
        return Example(
            row["text"],
            sorted({GROUP[name] for name in LABELS.names[row["label"] : row["label"] + 2]}),
        )

    tasks = (
        Task("coarse", Files("*"), coarse, COARSE, head=MultiLabel()),
        Task("fine", Files("*"), fine, LABELS, head=MultiLabel()),
    )
    inputs = []
    for task, limit in zip(tasks, limits, strict=True):
        found = locate(task.layouts, str(folder), folder, task.name)
        share = 0.3 if task.name == "fine" else 0.0
        follows = noise_from if task.name == "coarse" else None
        table = TaskTable(limit=limit, label_noise=share, label_noise_from=follows)
        inputs.append(BoundTask(task.name, task, task.head, table, found))
    return read_tasks(inputs, ReadOptions(seed=17))


def grouped(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The coarse labels that belong to rows of fine ones."""
    columns = [
        [place for place, name in enumerate(LABELS.names) if GROUP[name] == group]
        for group in COARSE.names
    ]
    return np.stack([targets[:, some].max(axis=1) for some in columns], axis=1)


def test_labels_that_follow_noise_are_those_of_noisy_labels(folder: Path) -> None:
    noisy, clean = beside(folder, "fine"), beside(folder, None)
    fine = noisy.rows("fine", "train").targets
    assert np.array_equal(noisy.rows("coarse", "train").targets, grouped(fine))
    assert noisy.noise["coarse"].replaced == noisy.noise["fine"].replaced > 200
    assert 0 < noisy.noise["coarse"].changed <= noisy.noise["fine"].changed
    assert np.array_equal(clean.rows("fine", "train").targets, fine)
    assert not np.array_equal(clean.rows("coarse", "train").targets, grouped(fine)), (
        "true labels beside noisy ones"
    )
    assert "coarse" not in clean.noise
    for split in ("validation", "test"):
        assert np.array_equal(
            noisy.rows("coarse", split).targets, clean.rows("coarse", split).targets
        )


def test_noise_is_followed_only_over_the_same_rows(folder: Path) -> None:
    with pytest.raises(EmomtlError, match="rows that 'fine' replaced are not among"):
        beside(folder, "fine", (500, None))


@pytest.mark.parametrize(
    ("mood", "topics", "said"),
    [
        ({"label_noise": 0.2}, {"label_noise_from": "moods"}, "no other task of the run"),
        ({}, {"label_noise_from": "mood"}, "has no `label_noise`"),
        ({"label_noise": 0.2}, {"label_noise_from": "mood", "label_noise": 0.1}, "of its own"),
        ({"label_noise": 0.2}, {"label_noise_from": "mood"}, "drawn anew one by one"),
        ({"label_noise": 0.2, "label_noise_from": "mood"}, {}, "of its own"),
    ],
)
def test_what_cannot_be_followed_is_said(
    desk: Any, mood: dict[str, Any], topics: dict[str, Any], said: str
) -> None:
    from emomtl.compose import compose_file
    from emomtl.plugins.discovery import Plugins

    with pytest.raises(EmomtlError, match=said) as caught:
        compose_file(desk.manifest(tasks={"mood": mood, "topics": topics}), [], Plugins.discover())
    assert "label_noise_from" in str(caught.value)

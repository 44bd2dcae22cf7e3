"""Small corpora with planted faults, read as an audit reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from emomtl import Example, Files, Head, SingleLabel, Task, Taxonomy
from emomtl.analyses.audit.rows import Group, groups
from emomtl.data.bound_task import BoundTask
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks

Rows = list[tuple[str, Any]]
Plant = Callable[..., list[Group]]


def read(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], row["label"])


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Make groups of corpora: `plant({"mood": {"train": [(text, label), ...]}}, labels=...,
    sensitive={"mood"})`.
    """

    def make(
        corpora: dict[str, dict[str, Rows]],
        labels: tuple[str, ...] | None = ("joy", "anger"),
        head: Head | None = None,
        sensitive: frozenset[str] | set[str] = frozenset(),
        twins: Mapping[str, str] | None = None,
    ) -> list[Group]:
        head = head or SingleLabel()
        inputs = []
        for name, splits in corpora.items():
            folder = tmp_path / name
            folder.mkdir()
            for split, rows in splits.items():
                lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
                (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        for name in [*corpora, *(twins or {})]:
            task = Task(
                name,
                Files("*"),
                read,
                Taxonomy(labels) if labels else None,
                head=head,
                sensitive=name in sensitive,
            )
            located = locate(task.layouts, (twins or {}).get(name, name), tmp_path, name)
            inputs.append(BoundTask(name, task, head, located=located))
        data = read_tasks(inputs)
        return groups(data, {one.name: one.head for one in inputs})

    return make

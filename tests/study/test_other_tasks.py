"""A study shows what the tasks beside its target came to, next to the rows that train them alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.run import Run


def test_the_scores_of_other_tasks_stand_beside_those_of_the_task_alone(
    write_study: Callable[..., Path], cli: Any
) -> None:
    alone = {
        "name": "topics alone",
        "target": "topics",
        "manifest": {"tasks": {"mood": {"trained": False}}, "train": {"target": "topics"}},
    }
    path = write_study(rows=[{"name": "both"}, alone], tuned=False, equal_updates=False)
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json"
    )
    assert said.code == 0, said.err
    both, single = json.loads((path.parent / "out" / "result.json").read_text(encoding="utf-8"))[
        "rows"
    ]
    other = both["other_tasks"]["topics"]
    assert set(both["other_tasks"]) == {"topics"}
    assert single["other_tasks"] == {}
    assert other["metric"] == single["metric"]
    for folder in sorted((path.parent / "runs").glob("both-*")):
        scores = Run.open(folder).scores()
        (best,) = [
            one
            for one in scores
            if one.get("by") == "train" and one["which"] == "best" and one["split"] == "validation"
        ]
        seed = folder.name.split("-seed")[1].split("-")[0]
        assert other["scores"]["validation/best"][seed] == pytest.approx(
            best["tasks"]["topics"]["metrics"][other["metric"]]
        )
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert "Scores of the other tasks" in table
    assert "as the target, alone" in table
    assert "beside mood" in table

"""Two small runs over labels with coordinates and a grouping: one trains the labels, the other
their groups as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
from emomtl import Example, Files, Grouping, Label, MultiLabel, SingleLabel, Task, Taxonomy, hookimpl

GROUPS = {"good": ("joy",), "bad": ("anger", "sadness", "fear")}
FINE = Taxonomy(
    [
        Label("joy", vad=(0.9, 0.8, 0.8)),
        Label("anger", vad=(0.2, 0.9, 0.7)),
        Label("sadness", vad=(0.1, 0.3, 0.2)),
        Label("fear", vad=(0.1, 0.8, 0.3)),
    ],
    [Grouping("side", GROUPS)],
)

def fine(row):
    return Example(row["text"], row["label"].split("|"))

def coarse(row):
    return Example(row["text"], FINE.grouping("side").fold(row["label"].split("|"))[0])

@hookimpl
def emomtl_tasks():
    files = Files("*", split_column="part")
    return [
        Task("feelings", files, fine, FINE, head=MultiLabel()),
        Task("sides", files, coarse, Taxonomy(["good", "bad"]), head=SingleLabel()),
    ]
"""


def runs_with_vad(desk: Any) -> list[Path]:
    """Train both runs on a desk; gives their folders."""
    desk.table("feelings", 120, ["joy", "anger", "sadness", "fear"], seed=3)
    (desk.folder / "feelings.py").write_text(PLUGIN)
    rest: dict[str, Any] = {
        "plugins": ["./feelings.py"],
        "sampler": {"per_step": "all", "use": "proportional"},
    }
    rest |= {
        "train": {"steps": 30},
        "eval": {"every": 30},
        "weighting": {"use": "equal"},
        "checkpoint": None,
    }
    place = {"source": "feelings.csv"}
    alone = {"mood": None, "topics": None, "feelings": place}
    one = desk.train(desk.manifest("alone", tasks=alone, **rest), "alone")
    two = desk.train(desk.manifest("both", tasks={**alone, "sides": place}, **rest), "both")
    return [one.folder, two.folder]


@pytest.fixture(scope="session")
def vad_runs(
    make_desk: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The two runs, trained once."""
    return runs_with_vad(make_desk(tmp_path_factory.mktemp("space")))

"""One `--source` serves every task of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Files, Hub
from emomtl.data.shared_source import sources_for_all
from emomtl.plugins.discovery import Plugins
from emomtl.study import StudyRequest, plan_study, read_study

GO = (Hub("go"), Files("*"))
TASKS: dict[str, Any] = {
    "go": (GO, None),
    "go-ekman": (GO, None),
    "other": ((Files("x.csv"),), None),
    "moved": (GO, "data"),
}


def test_a_source_serves_tasks_with_equal_layouts_and_source() -> None:
    assert sources_for_all({"go": "a"}, TASKS) == {"go": "a", "go-ekman": "a"}
    assert sources_for_all({"go": "a", "go-ekman": "b"}, TASKS) == {"go": "a", "go-ekman": "b"}
    assert sources_for_all({"moved": "a"}, TASKS) == {"moved": "a"}


def test_a_task_outside_of_the_run_may_be_named() -> None:
    ekman = {"go-ekman": TASKS["go-ekman"]}
    assert sources_for_all({"go": "a"}, ekman, {"go": (GO, None)}) == {"go-ekman": "a"}
    assert sources_for_all({"go": "a"}, ekman) == {}


def test_two_places_for_one_corpus_leave_a_third_task_undecided() -> None:
    tasks = {**TASKS, "go-sentiment": (GO, None)}
    with pytest.raises(
        EmomtlError,
        match="'go-sentiment' reads the corpus of 'go' and 'go-ekman', for which different places",
    ):
        sources_for_all({"go": "a", "go-ekman": "b"}, tasks)


STUDY = """
name = "small"
target = "goemotions"
seeds = [1]
[manifest]
encoder = {{ use = "{encoder}", max_tokens = 16, pooling = "mean" }}
train = {{ target = "goemotions", target_updates = 2 }}
[manifest.tasks.goemotions]
[[rows]]
name = "alone"
[[rows]]
name = "with ekman"
manifest.tasks.goemotions-ekman = {{}}
manifest.tasks.moods = {{ use = "goemotions-sentiment" }}
"""


def _plan(folder: Path, encoder: Path, sources: dict[str, str]) -> Any:
    path = folder / "study.toml"
    path.write_text(STUDY.format(encoder=encoder))
    return plan_study(
        StudyRequest(
            read_study(path), folder / "out", folder / "runs", Plugins.discover(), (), sources
        )
    )


def test_one_source_serves_all_taxonomies_in_a_study(tmp_path: Path, encoder: Path) -> None:
    from emomtl.manifest import read_manifest

    rows = tmp_path / "rows"
    rows.mkdir()
    for name in ("train", "dev", "test"):
        (rows / f"{name}.tsv").write_text("so happy\t17\ta\nso angry\t2\tb\n")
    plan = _plan(tmp_path, encoder, {"goemotions": str(rows)})
    manifest = read_manifest(next(run.manifest for run in plan.runs if run.row == "with ekman"))
    assert {name: table.source for name, table in manifest.tasks.items()} == {
        name: str(rows) for name in ("goemotions", "goemotions-ekman", "moods")
    }
    assert len(_plan(tmp_path, encoder, {"goemotions-sentiment": str(rows)}).runs) == 2


def test_a_source_of_no_task_is_refused(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(
        EmomtlError,
        match=r"'goemotion' is no task of the study's runs \(did you mean 'goemotions'\?\)",
    ):
        _plan(tmp_path, encoder, {"goemotion": "somewhere"})

"""Rows that start from the runs of others, rows that are compared with others, and the runs that
are only there for that.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.study import StudyRequest, plan_study, read_study

WriteStudy = Callable[..., Path]

TOPICS = {"name": "topics first", "manifest": {"train": {"target": "topics", "target_updates": 3}}}
ROWS = [
    {"name": "few", "manifest": {"tasks": {"mood": {"limit": 20}}}},
    {"name": "few, after", "after": "topics first", "manifest": {"tasks": {"mood": {"limit": 20}}}},
    {"name": "many", "against": "many", "manifest": {"train": {"target_updates": 6}}},
    {
        "name": "many, after",
        "after": "topics first",
        "against": "many",
        "manifest": {"train": {"target_updates": 6}},
    },
]


def _plan(path: Path, runs: str = "runs") -> Any:
    return plan_study(
        StudyRequest(read_study(path), path.parent / "out", path.parent / runs, Plugins.discover())
    )


def _arguments(path: Path) -> tuple[Any, ...]:
    return ("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")


def test_rows_start_from_a_source_that_is_no_row_and_stand_against_their_own_reference(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(ROWS, sources=[TOPICS], seeds=[1])
    planned = _plan(path)
    source = planned.sources[0]
    assert not source.folder.exists()
    first, second = cli(*_arguments(path), "--print-commands").out.split("# wave 2")
    trained = [
        {Path(shlex.split(line)[2]).stem for line in wave.split("\n") if line.startswith("emomtl")}
        for wave in (first, second)
    ]
    assert trained == [
        {"few-seed1", "many-seed1", "topics-first-seed1"},
        {"few-after-seed1", "many-after-seed1"},
    ]
    assert "topics first" in cli(*_arguments(path), "--plan").out

    said = cli(*_arguments(path), "--json")
    assert said.code == 0, said.err
    rows = {row["row"]: row for row in json.loads(said.out)["rows"]}
    assert [(name, row["against"], bool(row["comparison"])) for name, row in rows.items()] == [
        ("few", None, False),
        ("few, after", "few", True),
        ("many", None, False),
        ("many, after", "many", True),
    ]
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert "against" in table
    assert "unequal" not in table
    record = json.loads(
        (planned.of("few, after")[0].folder / "environment.json").read_text(encoding="utf-8")
    )["start"]
    assert (record["run"], record["heads"]) == (str(source.folder.resolve()), [])
    shutil.rmtree(source.folder)  # nothing that is left to do starts from it
    assert "0 to do" in cli(*_arguments(path)).err


def test_an_identity_holds_the_identity_of_the_start_and_not_its_place(
    write_study: WriteStudy,
) -> None:
    path = write_study(ROWS, sources=[TOPICS], seeds=[1])
    here, there = _plan(path), _plan(path, "elsewhere")
    assert [run.identity for run in here.runs] == [run.identity for run in there.runs]
    assert here.of("few")[0].identity != here.of("few, after")[0].identity
    longer = {
        "name": "topics first",
        "manifest": {"train": {"target": "topics", "target_updates": 5}},
    }
    other = _plan(write_study(ROWS, sources=[longer], seeds=[1]))
    assert other.of("few, after")[0].identity != here.of("few, after")[0].identity
    assert other.of("few")[0].identity == here.of("few")[0].identity


def test_a_start_that_a_manifest_names_is_told_by_what_it_is(
    write_study: WriteStudy, trained: Any, tmp_path: Path
) -> None:
    shutil.copytree(trained.folder, tmp_path / "copy", symlinks=True)

    def identity(place: Path) -> str:
        return str(
            _plan(write_study({"alone": {"start": {"run": str(place)}}}, seeds=[1]))
            .runs[0]
            .identity
        )

    assert identity(trained.folder) == identity(tmp_path / "copy")
    with pytest.raises(EmomtlError, match=r"start\.run"):
        identity(tmp_path / "nowhere")


def test_a_row_whose_start_failed_fails_with_that_reason(write_study: WriteStudy, cli: Any) -> None:
    broken = {"name": "broken", "manifest": {"train": {"lr": 1e30}}}
    path = write_study(
        [{"name": "alone"}, {"name": "later", "after": "broken"}], sources=[broken], seeds=[1]
    )
    said = cli(*_arguments(path), "--json")
    assert said.code == 1
    rows = json.loads((path.parent / "out" / "result.json").read_text(encoding="utf-8"))["rows"]
    assert [row["state"] for row in rows] == ["whole", "failed"]
    assert "the run that it starts from failed" in rows[1]["failed"]["1"]
    assert "not finite" in rows[1]["failed"]["1"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"name": "a", "after": "b"}], "starts after 'b', and no row or source is called so"),
        ([{"name": "a", "against": "b"}], "stands against 'b', and no row is called so"),
        ([{"name": "a", "after": "b"}, {"name": "b", "after": "a"}], "start from one another"),
        (
            [{"name": "a"}, {"name": "b", "after": "a", "manifest": {"start": {"run": "x"}}}],
            "which `after` sets",
        ),
        (
            [{"name": "a", "seeds": [1]}, {"name": "b", "after": "a", "seeds": [2]}],
            "has no run with seed 2",
        ),
        (
            [{"name": "a"}, {"name": "b", "manifest": {"train": {"target_updates": 9}}}],
            "unequal updates",
        ),
    ],
)
def test_what_is_wrong_with_starts_and_references_is_said(
    write_study: WriteStudy, rows: Any, said: str
) -> None:
    with pytest.raises(EmomtlError, match=said):
        _plan(write_study(rows))

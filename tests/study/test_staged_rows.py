"""A row whose runs have stages: equal updates over all of them, and one identity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.study import StudyPlan, StudyRequest, plan_study, read_study

WriteStudy = Callable[..., Path]

ALONE = {"tasks": {"topics": {"trained": False}}}
SHARES = [{"name": "several", "share": 0.75}, {"name": "single", "share": 0.25, "tasks": ["mood"]}]


def _plan(path: Path, runs: str = "runs") -> StudyPlan:
    return plan_study(
        StudyRequest(read_study(path), path.parent / "out", path.parent / runs, Plugins.discover())
    )


def test_a_row_of_stages_is_trained_and_compared_at_equal_updates(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(rows={"alone": ALONE, "stages": {"stages": SHARES}}, seeds=[1])
    plan = _plan(path)
    assert [run.updates for run in plan.runs] == [4, 4]
    arguments = (
        "study",
        path,
        "--out",
        path.parent / "out",
        "--runs",
        path.parent / "runs",
        "--json",
    )
    said = cli(*arguments)
    assert said.code == 0, said.err
    rows = {row["row"]: row for row in json.loads(said.out)["rows"]}
    assert rows["stages"]["target_updates"] == rows["alone"]["target_updates"] == {"1": 4}
    assert rows["stages"]["target_examples"] == rows["alone"]["target_examples"] == {"1": 32}
    assert rows["stages"]["comparison"]
    folder = plan.of("stages")[0].folder
    assert (folder.parent / f"{folder.name}-several").is_dir()
    shutil.rmtree(folder)
    commands = cli(*arguments[:-1], "--print-commands").out
    assert "--resume" in commands  # its first stage is there


def test_stages_that_each_have_the_whole_length_are_refused_as_unequal(
    write_study: WriteStudy,
) -> None:
    stages: list[dict[str, Any]] = [{"name": "several"}, {"name": "single", "tasks": ["mood"]}]
    with pytest.raises(EmomtlError, match=r"gets unequal updates \(alone: 4, stages: 8\)"):
        _plan(write_study(rows={"alone": ALONE, "stages": {"stages": stages}}, seeds=[1]))
    stages[1] |= {"train": {"steps": 4}}
    with pytest.raises(EmomtlError, match=r"gets unequal updates \(alone: 4, stages: not stated\)"):
        _plan(write_study(rows={"alone": ALONE, "stages": {"stages": stages}}, seeds=[1]))


def test_an_identity_holds_every_stage_and_no_place(write_study: WriteStudy) -> None:
    path = write_study(rows={"alone": ALONE, "stages": {"stages": SHARES}}, seeds=[1])
    first, elsewhere = _plan(path).of("stages")[0], _plan(path, "other").of("stages")[0]
    assert first.identity == elsewhere.identity
    renamed = [SHARES[0] | {"name": "together"}, SHARES[1]]
    assert _plan(write_study(rows={"alone": ALONE, "stages": {"stages": renamed}}, seeds=[1])).of(
        "stages"
    )[0].identity == (first.identity)
    for change in ({"train": {"lr": 3e-4}}, {"sampler": {"use": "proportional"}}):
        other = [SHARES[0] | change, SHARES[1]]
        assert _plan(write_study(rows={"alone": ALONE, "stages": {"stages": other}}, seeds=[1])).of(
            "stages"
        )[0].identity != (first.identity)
    other = [SHARES[0], SHARES[1] | {"start": {"heads": False}}]
    assert _plan(write_study(rows={"alone": ALONE, "stages": {"stages": other}}, seeds=[1])).of(
        "stages"
    )[0].identity != (first.identity)

"""Rows of a study differ in what they say they differ in: equal rows are refused, and unequal
examples are said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.study import StudyPlan, StudyRequest, plan_study, read_study

WriteStudy = Callable[..., Path]

ALONE = {"tasks": {"topics": {"trained": False}}}
PROPORTIONAL = {
    "sampler": {"use": "proportional", "per_step": "all"},
    "tasks": {"topics": {"limit": 12}},
}


def _plan(path: Path) -> StudyPlan:
    return plan_study(
        StudyRequest(
            read_study(path), path.parent / "out", path.parent / "runs", Plugins.discover()
        )
    )


def test_two_rows_that_are_one_run_are_refused_and_told_how_to_differ(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows={"alone": {}, "with topics": {"tasks": {"topics": {"use": "table"}}}})
    with pytest.raises(EmomtlError) as caught:
        _plan(path)
    assert [problem.found for problem in caught.value.problems] == [
        "'alone' and 'with topics' are the same run"
    ]
    assert "`tasks.TASK.trained = false` in its manifest" in caught.value.problems[0].remedy


def test_one_run_may_stand_against_two_rows(write_study: WriteStudy) -> None:
    faster, slower = {"train": {"lr": 2e-3}}, {"train": {"lr": 1e-4}}
    rows = [
        {"name": "alone"},
        {"name": "slower", "manifest": slower},
        {"name": "faster", "manifest": faster},
    ]
    twice = [*rows, {"name": "faster over slower", "manifest": faster, "against": "slower"}]
    assert len({run.identity for run in _plan(write_study(rows=twice)).runs}) == 6
    with pytest.raises(EmomtlError, match="'faster' and 'again' are the same run"):
        _plan(write_study(rows=[*rows, {"name": "again", "manifest": faster}]))


def test_a_row_drops_a_task_of_the_base(write_study: WriteStudy) -> None:
    plan = _plan(write_study(rows={"alone": ALONE, "with topics": {}}))
    assert len({run.identity for run in plan.runs}) == 4


def test_one_run_may_be_two_rows_that_are_scored_by_different_figures(
    write_study: WriteStudy,
) -> None:
    rows = [{"name": "mood"}, {"name": "topics", "target": "topics"}]
    plan = _plan(write_study(rows=rows, equal_updates=False))
    assert len({run.identity for run in plan.runs}) == 2


def test_equal_updates_with_unequal_examples_are_said_in_the_table(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(
        rows={"alone": ALONE, "with topics": {}}, manifest=PROPORTIONAL, seeds=[1], test=False
    )
    arguments = (
        "study",
        path,
        "--out",
        path.parent / "out",
        "--runs",
        path.parent / "runs",
        "--json",
    )
    rows = {row["row"]: row for row in json.loads(cli(*arguments).out)["rows"]}
    assert {row["target_updates"]["1"] for row in rows.values()} == {4}
    alone, beside = (rows[name]["target_examples"]["1"] for name in ("alone", "with topics"))
    assert alone == 4 * 8 < beside
    table = (path.parent / "out/table.md").read_text(encoding="utf-8")
    assert "| target updates | target examples |" in table
    assert (
        f"'with topics' gave the target {beside} labelled examples, 'alone' {alone}: equal updates"
        " are no equal" in table
    )

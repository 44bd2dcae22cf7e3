"""Rates are chosen for each row on validation, with equal effort, before any row is run; test is
never looked at for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.run import Run

WriteStudy = Callable[..., Path]
RATES = {"grid": [{"lr": 1e-5}, {"lr": 5e-3, "head_lr": 2e-2}], "seeds": [7]}


@pytest.fixture
def ask(write_study: WriteStudy, cli: Any) -> Callable[..., Any]:
    path = write_study(
        rows={"alone": {}, "even": {"weighting": {"use": "uncertainty"}}}, tuned=False, rates=RATES
    )

    def study(*options: str) -> Any:
        return cli(
            "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", *options
        )

    return study


def test_every_row_runs_the_grid_on_validation_and_then_its_seeds_with_the_best(
    ask: Any, desk: Any
) -> None:
    said = ask()
    assert said.code == 0, said.err
    runs = [Run.open(place) for place in sorted((desk.folder / "runs").iterdir()) if place.is_dir()]
    trials = [run for run in runs if run.manifest.seed == 7]
    assert len(trials) == 4
    assert all(entry["split"] != "test" for run in trials for entry in run.scores())
    written = json.loads((desk.folder / "out" / "rates.json").read_text(encoding="utf-8"))
    assert [row["row"] for row in written["rows"]] == ["alone", "even"]
    for row in written["rows"]:
        weighting = {"alone": "equal", "even": "uncertainty"}[row["row"]]
        best = {}
        for run in (one for one in trials if one.manifest.weighting.use == weighting):
            entries = [
                one for one in run.scores() if one["by"] == "train" and one["which"] == "best"
            ]
            metric = row["metric"].partition("/")[2]
            best[run.manifest.train.lr] = entries[0]["tasks"]["mood"]["metrics"][metric]
        assert len(best) == 2
        assert row["chosen"]["lr"] == max(best, key=lambda lr: best[lr])
        rows = [
            run
            for run in runs
            if run.manifest.weighting.use == weighting and run.manifest.seed != 7
        ]
        assert [run.manifest.train.lr for run in rows] == [row["chosen"]["lr"]] * 2
    result = json.loads((desk.folder / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["rates"] == written
    table = (desk.folder / "out" / "table.md").read_text(encoding="utf-8")
    assert "rates were chosen for each row on validation by mood/" in table
    assert "the best of 2, each run with seed 7" in table
    assert "least or greatest of the grid" in table
    again = ask("--draw")
    assert again.code == 0, again.err
    assert len([place for place in (desk.folder / "runs").iterdir() if place.is_dir()]) == 8


def test_the_plan_tells_the_runs_beforehand_and_runs_nothing(ask: Any, desk: Any) -> None:
    said = ask("--plan")
    assert said.code == 0, said.err
    assert "2 rows x 2 rates x 1 seed(s); then 4 runs of the rows" in " ".join(said.err.split())
    assert "lr 1e-05" in said.out
    assert not (desk.folder / "runs").exists()
    commands = ask("--print-commands")
    assert commands.out.count("emomtl train") == 4
    assert "emomtl eval" not in commands.out
    early = ask("--draw")
    assert early.code == 1
    assert "not chosen yet" in early.err


def test_fixed_rates_are_those_of_the_manifests_and_the_table_says_so(ask: Any, desk: Any) -> None:
    said = ask("--rates", "fixed")
    assert said.code == 0, said.err
    runs = [Run.open(place) for place in sorted((desk.folder / "runs").iterdir()) if place.is_dir()]
    assert {run.manifest.train.lr for run in runs} == {1e-3}
    assert len(runs) == 4
    assert "none was tuned for a row" in (desk.folder / "out" / "table.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("rates", "options", "said"),
    [
        ({**RATES, "seeds": [1]}, [], "a run must not choose its own rate"),
        ({"grid": [{"lr": 1e-3}]}, [], "grid"),
        ({"grid": [{"lr": 1e-3}, {"lr": 1e-3}]}, [], "give each once"),
        (RATES, ["--set", "train.head_lr=0.1"], "chooses its rates itself"),
    ],
)
def test_a_grid_that_chooses_nothing_fairly_is_refused(
    write_study: WriteStudy, cli: Any, rates: dict[str, Any], options: list[str], said: str
) -> None:
    path = write_study(rates=rates)
    answer = cli(
        "study",
        path,
        "--out",
        path.parent / "out",
        "--runs",
        path.parent / "runs",
        "--plan",
        *options,
    )
    assert answer.code == 1
    assert said in " ".join(answer.err.split())


def test_rows_that_differ_in_rates_alone_are_refused_before_the_grid_is_run(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(rows={"alone": {}, "faster": {"train": {"lr": 2e-3}}}, rates=RATES)
    answer = cli("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    assert answer.code == 1
    assert "'alone' and 'faster' are the same run" in " ".join(answer.err.split())
    assert not (path.parent / "runs").exists()

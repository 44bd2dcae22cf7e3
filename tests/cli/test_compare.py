"""`emomtl compare` says what differs between two runs, and what of it is noise."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from emomtl import SingleLabel
from emomtl.analyses.comparison import paired
from emomtl.metrics.predictions import TaskPredictions


@pytest.fixture
def two(desk: Any) -> tuple[Any, Any]:
    one = desk.train(desk.manifest("one"), "one")
    return one, desk.train(desk.manifest("two", train={"lr": 5e-3}, seed=6), "two")


def _tables(said: Any) -> dict[str, Any]:
    return {table["title"]: table for table in json.loads(said.out)["tables"]}


def test_keys_that_differ_are_listed_with_both_values(two: Any, cli: Any) -> None:
    tables = _tables(cli("compare", two[0].folder, two[1].folder, "--json"))
    assert [row[0] for row in tables["Manifest"]["rows"]] == ["name", "seed", "train.lr"]
    assert tables["Manifest"]["rows"][2][1:] == ["0.001", "0.005"]
    assert tables["Environment"]["notes"] == ["no difference"]
    assert {row[1] for row in tables["Data of common tasks"]["rows"]} == {"the same rows"}
    for row in tables["Scores"]["rows"]:
        assert row[7] == pytest.approx(row[6] - row[5])


def test_compare_judges_only_with_kept_predictions(two: Any, cli: Any) -> None:
    trained = _tables(cli("compare", two[0].folder, two[1].folder, "--json"))[
        "Best checkpoints, row by row"
    ]
    assert {(row[0], row[1]) for row in trained["rows"]} == {
        ("mood", "validation"),
        ("topics", "validation"),
    }
    for run in two:
        entries = [
            {key: value for key, value in entry.items() if key != "answers"}
            for entry in run.scores()
        ]
        (run.folder / "scores.json").write_text(json.dumps({"format": 1, "evaluations": entries}))
    before = _tables(cli("compare", two[0].folder, two[1].folder, "--json"))[
        "Best checkpoints, row by row"
    ]
    assert before["rows"] == []
    assert "emomtl eval RUN --split test" in before["notes"][0]
    for run in two:
        assert cli("eval", run.folder, "--split", "test").code == 0
    after = _tables(cli("compare", two[0].folder, two[1].folder, "--json"))[
        "Best checkpoints, row by row"
    ]
    assert {(row[0], row[1]) for row in after["rows"]} == {("mood", "test"), ("topics", "test")}
    assert all(row[7].endswith("the noise of rows") for row in after["rows"])


def test_predictions_of_equal_rows_are_compared(desk: Any, cli: Any) -> None:
    one, other = (
        desk.train(
            desk.manifest(
                name,
                tasks={"mood": {"eval_limit": limit}, "topics": None},
                weighting={"use": "equal"},
            ),
            name,
        )
        for name, limit in (("one", 6), ("other", 5))
    )
    assert cli("eval", one.folder).code == 0
    tables = _tables(cli("compare", one.folder, other.folder, "--json"))
    assert "Scores" not in tables
    judged = tables["Best checkpoints, row by row"]
    assert judged["rows"] == []
    assert "mood: the two kept answers of other rows of validation" in judged["notes"][1]
    assert cli("eval", other.folder).code == 0
    assert cli("eval", one.folder, "--split", "test").code == 0
    tables = _tables(cli("compare", one.folder, other.folder, "--json"))
    assert {row[1] for row in tables["Best checkpoints, row by row"]["rows"]} == {"validation"}
    assert {row[3] for row in tables["Scores"]["rows"]} == {"best"}


def test_a_run_beside_itself_differs_in_nothing(two: Any, cli: Any) -> None:
    assert cli("eval", two[0].folder).code == 0
    tables = _tables(cli("compare", two[0].folder, two[0].folder, "--json"))
    assert tables["Manifest"]["notes"] == ["the two manifests are equal"]
    assert {(row[3], row[7]) for row in tables["Best checkpoints, row by row"]["rows"]} == {
        (0.0, "within the noise of rows")
    }


def test_a_better_run_is_beyond_the_noise() -> None:
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 3, 2000)

    def answered(share: float) -> TaskPredictions:
        right = draw.random(2000) < share
        chosen = np.where(right, targets, (targets + 1) % 3)
        return TaskPredictions(targets, np.eye(3)[chosen])

    found = paired(answered(0.6), answered(0.8), SingleLabel())
    assert found.difference.low > 0.1
    assert found.p_mcnemar < 1e-6

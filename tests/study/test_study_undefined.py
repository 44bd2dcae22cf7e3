"""What is undefined, or of other rows, gets no verdict in a study, and the study says so and ends
in order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emomtl.errors import EmomtlError
from emomtl.metrics.bootstrap import BootstrapEstimate
from emomtl.run import Run, find_checkpoint
from emomtl.run.predictions import recorded_predictions
from emomtl.safety.files import write_together
from emomtl.study.space import _measure

WriteStudy = Callable[..., Path]
REGRESSION = {"head": {"use": "regression"}}


def _study(path: Path, cli: Any, *more: str) -> Any:
    return cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json", *more
    )


def _result(path: Path) -> Any:
    return json.loads((path.parent / "out" / "result.json").read_text(encoding="utf-8"))


def _rows_of_test(folder: Path, name: str, number: int) -> None:
    """Write mood.csv as numbers, with so many test rows."""
    numbers = {"joy": "1.0", "anger": "-1.0", "sadness": "-0.5"}
    head, *rows = (folder / "mood.csv").read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows]
    tested = [row for row in cells if row[2] == "test"][:number]
    kept = [row for row in cells if row[2] != "test"] + tested
    lines = [head, *(f"{text},{numbers[label]},{part}" for text, label, part in kept)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_few_test_rows_give_no_verdict_and_all_files_say_so(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    _rows_of_test(desk.folder, "four.csv", 4)
    mood = {"source": "four.csv", **REGRESSION}
    rows = {
        "alone": {"tasks": {"mood": mood}},
        "faster": {"tasks": {"mood": mood}, "train": {"lr": 2e-3}},
    }
    path = write_study(rows=rows)
    said = _study(path, cli)
    assert said.code == 0, said.err
    found = _result(path)["rows"][1]["comparison"]
    assert (found["verdict"], found["reason"]) == ("untested", "undefined")
    assert (found["p"], found["p_holm"], found["difference"]["low"]) == (None, None, None)
    assert found["difference"]["undefined"] > 10
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert f"{found['difference']['undefined']} of 1,000 bootstrap samples" in table
    page = (path.parent / "out" / "page.html").read_text(encoding="utf-8")
    assert "untested (undefined) for" in page
    claims = desk.folder / "claims.toml"
    claims.write_text(
        'title = "Ours"\n[[claims]]\nsays = "It helps."\nevidence = [{ study = "small", row ='
        ' "faster" }]\n',
        encoding="utf-8",
    )
    told = json.loads(cli("claims", claims, path.parent / "out", "--json").out)["tables"]
    assert told[0]["rows"][0][3] == "untested"
    assert told[1]["rows"][0][6] == "untested (undefined)"
    runs = sorted((path.parent / "runs").iterdir())
    both = cli("compare", runs[0], runs[1], "--json")
    assert both.code == 0, both.err
    tables = {table["title"]: table for table in json.loads(both.out)["tables"]}
    judged = {row[1]: row for row in tables["Best checkpoints, row by row"]["rows"]}
    assert judged["test"][7] == "undefined: no verdict"
    assert judged["test"][5] is None
    card = desk.folder / "card.md"
    assert cli("report", runs[0], "--card", card).code == 0
    assert "of 1,000 bootstrap samples" in card.read_text(encoding="utf-8")


def test_an_undefined_metric_of_a_seed_is_named_and_no_mean_is_taken_without_it(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    _rows_of_test(desk.folder, "one.csv", 1)
    mood = {"source": "one.csv", **REGRESSION}
    path = write_study(
        rows={
            "alone": {"tasks": {"mood": mood}},
            "faster": {"tasks": {"mood": mood}, "train": {"lr": 2e-3}},
        }
    )
    said = _study(path, cli)
    assert said.code == 0, said.err
    found = _result(path)["rows"][1]
    assert found["state"] == "whole"
    assert found["figures"]["test/best"] == {"1": None, "2": None}
    assert found["comparison"]["difference"]["value"] is None
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert "undefined (2 of 2 seeds)" in table
    assert "faster, seed 1, 2: pearson_r on test, best, is undefined" in table


def test_rows_with_other_test_rows_are_not_compared_and_the_others_are(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    for name, number in (("many.csv", 24), ("fewer.csv", 15)):
        _rows_of_test(desk.folder, name, number)
    many, fewer = ({"mood": {"source": name, **REGRESSION}} for name in ("many.csv", "fewer.csv"))
    rows = {
        "alone": {"tasks": many},
        "fewer": {"tasks": fewer},
        "faster": {"tasks": many, "train": {"lr": 2e-3}},
    }
    path = write_study(rows=rows, metric="rmse")
    said = _study(path, cli)
    assert said.code == 0, said.err
    alone, less, faster = _result(path)["rows"]
    assert (less["comparison"], less["not_compared"]) == (
        None,
        "the two rows were scored on other test rows",
    )
    assert [row["test_rows"] for row in (alone, less, faster)] == [24, 15, 24]
    assert less["own"]["low"] < less["own"]["value"] < less["own"]["high"]
    assert faster["comparison"]["seeds"] == 2
    out = path.parent / "out"
    assert "untested (other test rows)" in (out / "table.md").read_text(encoding="utf-8")
    assert "untested, as scored on other test rows, for &#39;fewer&#39;" in (
        out / "page.html"
    ).read_text(encoding="utf-8")


def test_a_later_evaluation_on_other_rows_replaces_no_score_and_is_said(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    assert _study(path, cli).code == 0
    before = _result(path)
    other = desk.table("other", 48, ["joy", "anger", "sadness"], seed=9)
    (folder,) = (path.parent / "runs").iterdir()
    evaluated = ("eval", folder, "--split", "test", "--task", "mood")
    looked = cli(*evaluated, "--allow-changed", "data", "--source", f"mood={other}", "--json")
    assert looked.code == 0, looked.err
    assert [entry["look"] for entry in Run.open(folder).scores() if entry["split"] == "test"][
        -1
    ] == 1
    said = _study(path, cli)
    assert "1 runs: 1 done, 0 to do" in said.err
    after = _result(path)
    assert [row["figures"] for row in after["rows"]] == [row["figures"] for row in before["rows"]]
    assert [row["own"] for row in after["rows"]] == [row["own"] for row in before["rows"]]
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert "was scored once for each run and checkpoint" in table
    assert "test was scored on other rows too" in table
    run = Run.open(folder)
    targets, _ = recorded_predictions(
        run, "test", find_checkpoint(run, "best").resolve().name, "mood"
    ) or (None, None)
    assert len(targets) == 24
    found = json.loads(cli("report", folder, "--split", "test", "--json").out)
    tables = {one["title"]: one for one in found["tables"]}
    scores = next(one for title, one in tables.items() if title.startswith("mood on test"))
    entry = next(entry for entry in run.scores() if entry["split"] == "test")
    column = scores["columns"].index("macro_f1")
    assert scores["rows"][0][column] == entry["tasks"]["mood"]["metrics"]["macro_f1"]
    assert any("also scored on other rows" in note for note in scores["notes"])
    assert {row[2] for row in tables["Looks at test"]["rows"]} == {1}


def test_what_was_scored_on_other_rows_alone_is_still_to_do(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1], test=False)
    assert _study(path, cli).code == 0
    other = desk.table("other", 48, ["joy", "anger", "sadness"], seed=9)
    (folder,) = (path.parent / "runs").iterdir()
    changed = ("--allow-changed", "data", "--source", f"mood={other}")
    assert cli("eval", folder, "--split", "test", "--task", "mood", *changed).code == 0
    found = json.loads(cli("report", folder, "--split", "test", "--json").out)["tables"]
    assert any("warning: scored on other rows" in note for one in found for note in one["notes"])
    path = write_study(rows={"alone": {}}, seeds=[1])
    assert _result(path)["rows"][0]["figures"]["test/best"] == {}
    said = _study(path, cli)
    assert "1 runs: 0 done, 1 to do" in said.err
    assert set(_result(path)["rows"][0]["figures"]["test/best"]) == {"1"}


def test_a_second_look_at_test_is_counted_in_the_table(write_study: WriteStudy, cli: Any) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    assert _study(path, cli).code == 0
    assert _result(path)["rows"][0]["looks_at_test"] == {"1": 1}
    (folder,) = (path.parent / "runs").iterdir()
    assert cli("eval", folder, "--split", "test").code == 0
    assert _study(path, cli).code == 0
    assert _result(path)["rows"][0]["looks_at_test"] == {"1": 2}
    table = (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    assert "was scored more than once for a run and checkpoint (alone, seed 1: 2 times)" in table


@pytest.mark.parametrize(
    ("undefined", "interval"), [(1, True), (10, True), (11, False), (1000, False)]
)
def test_a_space_with_undefined_draws_is_measured_and_says_how_many(
    monkeypatch: pytest.MonkeyPatch, undefined: int, interval: bool
) -> None:
    draws = np.random.default_rng(0).normal(0.1, 0.02, 1000)
    draws[:undefined] = np.nan
    key = ("purity", "label")
    one = SimpleNamespace(
        values={key: BootstrapEstimate(0.5, draws)},
        differences={key: BootstrapEstimate(0.1, draws)},
    )
    found = [(200, "faster", one)]
    monkeypatch.setattr("emomtl.study.space._of_seed", lambda *_: iter(found))
    runs: Any = [SimpleNamespace(seed=1), SimpleNamespace(seed=2)]
    nothing: Any = None
    measure = _measure(nothing, runs, nothing, print)["faster"]["purity: label"]
    difference = measure["difference"]
    assert (difference["value"], difference["undefined"], difference["seeds"]) == (
        pytest.approx(0.1),
        undefined,
        2,
    )
    assert (difference["low"] is not None) == interval
    json.dumps(measure, allow_nan=False)


def test_tables_and_result_are_written_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("table.md", "result.json")]
    write_together(dict.fromkeys(files, b"old"))
    whole = os.fsync

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("result.json"):
            raise OSError(28, "No space left on device")
        whole(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EmomtlError, match="No space left"):
        write_together(dict.fromkeys(files, b"new"))
    assert [path.read_bytes() for path in files] == [b"old", b"old"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_result_that_json_cannot_hold_leaves_the_old_tables(
    write_study: WriteStudy, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    assert _study(path, cli, "--draw").code == 0  # the table of what is pending
    before = {file.name: file.read_bytes() for file in (path.parent / "out").glob("*.*")}
    monkeypatch.setattr(
        "emomtl.study.gathering.StudyResult.as_json", lambda _: {"value": float("nan")}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        _study(path, cli, "--draw", "--set", "train.lr=0.01")
    after = {file.name: file.read_bytes() for file in (path.parent / "out").glob("*.*")}
    assert {name: after[name] for name in before if name != "study.json"} == {
        name: content for name, content in before.items() if name != "study.json"
    }

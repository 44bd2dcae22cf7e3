"""Runs are read as far as they went, and what is missing is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emomtl.errors import EmomtlError
from emomtl.report.collect import collect
from emomtl.report.formats.markdown import markdown
from emomtl.report.json_output import as_json
from emomtl.report.tables import tables
from emomtl.run import Run

Maker = Callable[..., Path]


def test_a_finished_run_is_read_whole(make: Maker) -> None:
    (result,) = collect([make()])
    assert result.ended == "finished"
    assert result.missing == ()
    assert result.step == 100
    assert sum(result.updates.values()) == 100
    assert result.passes["sst2"] == result.counts["sst2"] / 1000


def test_a_killed_run_says_what_it_lacks(make: Maker) -> None:
    (result,) = collect([make(finished=False)])
    assert "killed, or still running" in result.ended
    assert any("best and last" in said for said in result.missing)
    assert result.counts["goemotions"] > 0
    titles = [table.title for table in tables([result])]
    assert titles == ["Runs", "Realised sampling in training"]


def test_the_error_that_broke_a_run_off_is_told(make: Maker) -> None:
    folder = make(finished=False)
    with Run.open(folder, lock=True) as run:
        run.log_event("stop", step=40, error="the loss of sst2 is not finite")
    assert (
        collect([folder])[0].ended
        == "not finished: stopped at step 40: the loss of sst2 is not finite"
    )
    with Run.open(folder, lock=True) as run:
        run.log_event("start", step=0, total=100, epochs=1.0)
    assert collect([folder])[0].stopped == "", "it goes on"


def test_a_run_trained_as_long_as_its_finish_events_say(make: Maker) -> None:
    folder = make(finished=False)
    assert collect([folder])[0].seconds == ()
    with Run.open(folder, lock=True) as run:
        run.log_event("finish", step=100, reason="finished", skipped=0, seconds=7.5)
        run.log_event("start", step=100, total=200, epochs=2.0)
        run.log_event("finish", step=200, reason="finished", skipped=0, seconds=2.5)
    assert collect([folder])[0].seconds == (7.5, 2.5)


def test_the_reason_that_a_log_of_an_older_run_ends_with_is_told(make: Maker) -> None:
    folder = make(finished=False)
    with Run.open(folder) as run:
        run.log("stopped at step 40: the loss of sst2 is not finite")
    assert (
        collect([folder])[0].ended
        == "not finished: stopped at step 40: the loss of sst2 is not finite"
    )


def test_a_run_without_events_is_reported_without_them(make: Maker) -> None:
    (result,) = collect([make(steps=0)])
    assert any("no step was logged" in said for said in result.missing)
    (runs,) = tables([result])
    row = dict(zip(runs.columns, runs.rows[0], strict=True))
    assert row["steps"] == 0
    assert row["updates per task"] == "none logged"
    assert any("no step was logged" in note for note in runs.notes)


def test_a_run_that_goes_on_after_its_end_has_not_ended(make: Maker) -> None:
    folder = make()
    with Run.open(folder, lock=True) as run:
        run.log_event("start", step=100, total=200, epochs=2.0)
    assert collect([folder])[0].finish is None


def test_steps_that_a_resumed_run_tells_again_count_once(make: Maker) -> None:
    folder = make(finished=False)
    with Run.open(folder, lock=True) as run:
        told = next(
            event for event in run.events() if event.get("step") == 50 and event["event"] == "step"
        )
        run.log_event(**told)
    (result,) = collect([folder])
    assert [event["step"] for event in result.steps] == [10, 20, 30, 40, 50]


def test_every_folder_without_a_run_is_named_at_once(make: Maker, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmomtlError) as caught:
        collect([make(), tmp_path / "empty", tmp_path / "absent"])
    assert len(caught.value.problems) == 2
    assert "empty" in str(caught.value)
    assert "absent" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        '{"event":"step","step":"ten"}',
        '{"event":"step","step":110,"losses":{"sst2":NaN}}',
        '{"event":"step","step":110,"counts":[1]}',
        '{"event":"evaluation","step":110,"scores":{"sst2":3}}',
        '{"event":"evaluation","step":110,"scores":{},"main_metrics":{"sst2":3}}',
        '{"event":"finish","step":110}',
        '{"event":"finish","step":110,"reason":"finished","seconds":"ten"}',
        '{"event":"stop","step":110}',
        "[1]",
    ],
)
def test_an_event_that_emomtl_does_not_write_is_an_error_that_names_the_file(
    make: Maker, line: str
) -> None:
    folder = make()
    with open(folder / "metrics.jsonl", "a") as handle:
        handle.write(line + "\n")
    with pytest.raises(EmomtlError, match=r"metrics\.jsonl"):
        collect([folder])


def test_scores_that_emomtl_does_not_write_are_an_error_that_names_the_file(make: Maker) -> None:
    folder = make()
    whole = {"split": "validation", "step": 3, "tasks": {"sst2": {"rows": 3, "metrics": {}}}}
    for wrong in (
        {"tasks": {"sst2": {"rows": 3}}},
        {"tasks": []},
        {"step": None},
        {"split": 3},
        {"look": "many"},
    ):
        (folder / "scores.json").write_text(
            json.dumps({"format": 1, "evaluations": [{**whole, **wrong}]})
        )
        with pytest.raises(EmomtlError, match=r"scores\.json"):
            collect([folder])


def test_runs_of_one_name_are_told_apart_and_one_folder_counts_once(make: Maker) -> None:
    one, other = make(folder="one"), make(folder="other")
    results = collect([one, other, one])
    assert [result.name for result in results] == ["both (one)", "both (other)"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part=st.floats(0, 1), scores=st.booleans())
def test_a_run_killed_at_any_byte_is_reported(
    make: Maker, tmp_path: Path, part: float, scores: bool
) -> None:
    folder, cut = tmp_path / "both", tmp_path / "cut"
    if not folder.exists():
        make()
    shutil.rmtree(cut, ignore_errors=True)
    shutil.copytree(folder, cut)
    data = (cut / "metrics.jsonl").read_bytes()
    (cut / "metrics.jsonl").write_bytes(data[: int(part * len(data))])
    if not scores:
        (cut / "scores.json").unlink()
    results = collect([cut])
    made = tables(results)
    assert results[0].step <= 100
    assert markdown(made).startswith("## Runs")
    assert (
        json.loads(json.dumps(as_json(results, made), allow_nan=False))["runs"][0]["steps"]
        == results[0].step
    )


def test_no_runs_make_no_tables() -> None:
    assert tables(collect([])) == []


def test_importing_the_report_loads_nothing_heavy() -> None:
    names = [
        "collect",
        "cells",
        "figures",
        "formats",
        "heat_map",
        "provenance",
        "json_output",
        "pairs",
        "sampling",
        "scores",
        "tables",
        "terminal",
    ]
    code = f"import sys, {', '.join(f'emomtl.report.{name}' for name in names)}\n"
    code += (
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'scipy', 'sklearn', 'numpy',"
        " 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""What a study says of its runs while they are under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.cli.study_runs import StudyLines
from emomtl.compose import compose_file
from emomtl.errors import EmomtlError, Problem
from emomtl.plugins.discovery import Plugins
from emomtl.study import Ended, Job, StudyRequest, plan_study, read_study
from emomtl.train import Display, start

WriteStudy = Callable[..., Path]


def test_a_plan_says_how_far_a_run_is(write_study: WriteStudy, cli: Any) -> None:
    path = write_study()
    places = {"out": path.parent / "out", "runs": path.parent / "runs"}
    plan = plan_study(
        StudyRequest(read_study(path), places["out"], places["runs"], Plugins.discover())
    )
    arguments = ("study", path, "--out", places["out"], "--runs", places["runs"], "--plan")
    assert cli(*arguments).out.count("missing") == 4
    first = plan.runs[0]
    run = start(compose_file(first.manifest, [], Plugins.discover()), first.folder, Display()).run
    run.log_event("start", step=0, total=4, epochs=1.0)
    assert "begun, step" not in cli(*arguments).out
    run.log_event("step", step=2)
    run.log_event("evaluation", step=2, scores={"mood": {plan.scoring[first.row].metric: 0.25}})
    planned = cli(*arguments).out
    assert "begun, step 2 of 4, 0.2500" in planned
    assert planned.count("missing") == 3
    run.close()


def test_lines_say_what_begins_is_over_and_how_long_the_others_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = [Job(name, f"{name}.toml", f"runs/{name}", "mood", True) for name in ("a", "b")]
    lines = StudyLines(len(jobs))
    lines.begins(jobs[0])
    lines.ended(Ended(jobs[0]))
    lines.ended(Ended(jobs[1], EmomtlError(Problem("here", "broke", "mend it"))))
    assert capsys.readouterr().err.splitlines() == [
        "run a begins",
        "run a is done",
        "1 of 2 over, about 0 min to go",
        "run b failed: here: broke (mend it)",
        "2 of 2 over",
    ]

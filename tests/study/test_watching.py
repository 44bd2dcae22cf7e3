"""What a study shows of its runs while they are under way, from their folders alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.cli.study_live import StudyLines, StudyLive, standings_table, study_display
from emomtl.compose import compose_file
from emomtl.errors import EmomtlError, Problem
from emomtl.plugins import Plugins
from emomtl.study import Ended, Job, Standing, Watch, plan_study, read_study, standing
from emomtl.train import Display, start

WriteStudy = Callable[..., Path]


@pytest.fixture
def planned(write_study: WriteStudy) -> tuple[Any, dict[str, Job]]:
    path = write_study()
    plan = plan_study(read_study(path), path.parent / "out", path.parent / "runs", Plugins.discover())
    return plan, {run.identity: Job(run.identity, str(run.manifest), str(run.folder), "mood", True) for run in plan.runs}


def _text(shown: Any) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=160).print(shown)
    return out.getvalue()


def test_a_run_stands_where_its_folder_says(planned: Any) -> None:
    plan, jobs = planned
    one = next(iter(jobs.values()))
    watch = Watch(plan, jobs)
    assert set(watch.look().values()) == {Standing("missing")}
    session = start(compose_file(Path(one.manifest), [], Plugins.discover()), Path(one.folder), Display())
    session.run.log_event("start", step=0, total=4, epochs=1.0)
    session.run.log_event("step", step=2)
    session.run.log_event("evaluation", step=2, scores={"mood": {plan.scoring[plan.runs[0].row].metric: 0.25}})
    session.run.close()
    assert standing(one, plan.scoring[plan.runs[0].row].metric) == Standing("begun", 2, 4, 0.25)
    looked = watch.look()
    assert looked[one.key] == Standing("begun", 2, 4, 0.25)
    text = _text(standings_table(plan, looked, set(), {one.key}, "small"))
    assert "running, step 2 of 4, 0.2500" in text
    assert text.count("missing") == 3
    assert "stopped, step 2 of 4" in _text(standings_table(plan, looked, set(), set(), "small"))
    assert "failed at step 2" in _text(standings_table(plan, looked, {one.key}, set(), "small"))
    Path(one.folder, "run.json").write_text("{", encoding="utf-8")
    assert watch.look()[one.key] == looked[one.key]


def test_a_terminal_has_a_table_and_a_log_has_lines(planned: Any, monkeypatch: Any, capsys: Any) -> None:
    plan, jobs = planned
    left = list(jobs.values())
    lines = study_display(plan, left, left)
    assert type(lines) is StudyLines
    lines.begins(left[0])
    lines.ended(Ended(left[0]))
    assert "begins\n1 of 4 over, about 0 min to go\n" in capsys.readouterr().err
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    live = study_display(plan, left, left)
    assert isinstance(live, StudyLive)
    with live:
        live.begins(left[0])
        live.ended(Ended(left[0], EmomtlError(Problem("here", "broke", "mend it"))))
        text = _text(live.table())
    assert "1 of 4 over" in text
    assert "broke" in capsys.readouterr().err

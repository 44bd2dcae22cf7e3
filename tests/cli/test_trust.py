"""A run's folder executes nothing: its plugin files run only where the user says that they are
trusted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import os
from emomtl import Example, Files, MultiLabel, SingleLabel, Task, Taxonomy, hookimpl
from emomtl.contracts.taxonomy import Grouping

open(os.environ["MARKER"], "a").close()
SIDES = Grouping("side", {"good": ("joy",), "bad": ("anger", "sadness", "fear")})
FINE = Taxonomy(["joy", "anger", "sadness", "fear"], [SIDES])

class Odd(MultiLabel):
    pass

def read(row):
    return Example(row["text"], row["label"].split("|"))

def first(row):
    return Example(row["text"], row["label"].split("|")[0])

@hookimpl
def emomtl_tasks():
    files = Files("*", split_column="part")
    return [
        Task("sides", files, read, FINE, head=MultiLabel()),
        Task("side", files, first, FINE, head=SingleLabel()),
        Task("odd", files, read, FINE, head=Odd()),
    ]
"""
TRUST = "--trust-plugins"


@pytest.fixture(scope="module")
def made(make_desk: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a plugin file that leaves a marker where it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARKER", str(tmp_path_factory.mktemp("marker") / "ran"))
        desk = make_desk(tmp_path_factory.mktemp("trust"))
        (desk.folder / "sides.py").write_text(PLUGIN)
        given = {name: {"source": "topics.csv"} for name in ("sides", "side", "odd")}
        manifest = desk.manifest(
            plugins=["./sides.py"],
            tasks={"mood": None, "topics": None, **given},
            sampler={"use": "uniform"},
            eval={"select": "sides/macro_f1"},
        )
        return Path(desk.train(manifest).folder)


@pytest.fixture
def stranger(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A copy of that run, as it comes from somebody else, and the marker, which is not there."""
    monkeypatch.setenv("MARKER", str(tmp_path / "ran"))
    shutil.copytree(made, tmp_path / "stranger", symlinks=True)
    return tmp_path / "stranger", tmp_path / "ran"


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "RUN"],
        ["predict", "RUN", "happy"],
        ["compare", "RUN", "RUN"],
        ["analyse", "calibration", "RUN"],
        ["analyse", "space", "RUN"],
        ["analyse", "gap", "RUN"],
        ["report", "RUN", "--card", "OUT"],
        ["report", "RUN", "--html", "OUT", "--full"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_needs_a_run_s_code_names_it_and_asks(
    stranger: tuple[Path, Path], cli: Any, tmp_path: Path, command: list[str]
) -> None:
    run, marker = stranger
    words = [{"RUN": str(run), "OUT": str(tmp_path / "out")}.get(word, word) for word in command]
    said = cli(*words)
    assert said.code == 1
    assert (
        "brings code of its own along, which opening it would run with your rights: sides.py"
        in said.err
    )
    assert "--trust-plugins" in said.err
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_a_run_that_is_trusted_is_opened_with_its_code(
    stranger: tuple[Path, Path], cli: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run, marker = stranger
    if how == "environment":
        monkeypatch.setenv("EMOMTL_TRUST_PLUGINS", "1")
    said = cli("predict", run, "happy", *([TRUST] if how == "flag" else []))
    assert said.code == 0, said.err
    assert marker.exists()


@pytest.mark.parametrize("form", ["--json", "--html", "--csv", "--markdown", "--latex", None])
def test_a_report_runs_no_code_of_the_run(
    stranger: tuple[Path, Path], cli: Any, tmp_path: Path, form: str | None
) -> None:
    run, marker = stranger
    to_file = [tmp_path / "out"] if form not in ("--json", None) else []
    said = cli("report", run, *([form] if form else []), *to_file)
    assert said.code == 0, said.err
    assert not marker.exists()
    if form is None:
        return
    shown = (tmp_path / "out").read_text() if to_file else said.out
    assert "sides/side" in shown.replace("\\", "")
    if form in ("--json", "--html"):
        assert "the answers of odd are not shown" in shown


def test_report_tables_equal_those_of_the_plugin_code(
    stranger: tuple[Path, Path], cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.analyses.answers import kept
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.collect import collect

    run, _ = stranger
    found, notes = kept.kept_of(collect([run]), "validation")
    assert len(notes) == 1
    plan = open_run(run, "best", Plugins.discover(trust=True)).plan
    assert [one.task for one in found] == ["sides", "side"]
    for one in found:
        bound = plan.tasks[one.task]
        assert type(one.head) is type(bound.head)
        assert one.head == bound.head
        assert one.taxonomy == bound.taxonomy


def test_train_says_that_its_run_needs_the_flag(
    desk: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKER", str(desk.folder / "ran"))
    (desk.folder / "sides.py").write_text(PLUGIN)
    tasks = {"mood": None, "topics": None, "side": {"source": "topics.csv"}}
    manifest = desk.manifest(
        plugins=["./sides.py"], tasks=tasks, train={"steps": 1}, eval={"every": 1}
    )
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert f"emomtl eval {desk.folder / 'run'} --split test --trust-plugins" in said.err
    assert json.loads((desk.folder / "run" / "scores.json").read_text())["evaluations"][0]["tasks"][
        "side"
    ]["head"] == {"kind": "single-label", "answers": "labels", "of_emomtl": True}


LISTENER = 'import os\nopen(os.environ["MARKER"], "a").close()\n'


def test_a_study_s_folder_is_reported_on_without_its_code(
    desk: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tomli_w

    marker = tmp_path / "ran"
    monkeypatch.setenv("MARKER", str(marker))
    (desk.folder / "listener.py").write_text(LISTENER)
    length = {"steps": None, "target": "mood", "target_updates": 2}
    desk.manifest(
        "base",
        plugins=["./listener.py"],
        sampler={"use": "uniform", "per_step": "all"},
        train=length,
    )
    rows = [
        {"name": "alone", "manifest": {}},
        {"name": "faster", "manifest": {"train": {"lr": 2e-3}}},
    ]
    content = {"name": "small", "base": "base.toml", "target": "mood", "seeds": [1], "rows": rows}
    (desk.folder / "study.toml").write_text(tomli_w.dumps(content))
    places = ["--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    said = cli("study", desk.folder / "study.toml", *places)
    assert said.code == 0, said.err
    assert marker.exists(), "the user's own manifests run their plugins"
    marker.unlink()
    said = cli("report", tmp_path / "out", "--html", tmp_path / "page.html")
    assert said.code == 0, said.err
    assert not marker.exists()
    shutil.rmtree(tmp_path / "runs")
    said = cli("report", tmp_path / "out")
    assert said.code == 1
    assert "listener.py (read it; if you trust it, --trust-plugins" in said.err
    assert not marker.exists()

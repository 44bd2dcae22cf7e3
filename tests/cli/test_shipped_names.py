"""Shipped manifests, studies and claims are named wherever a file is taken, and relative paths then
start where one is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.cli.shipped import compose_given, file_of, shipped
from emomtl.plugins.discovery import Plugins
from emomtl.study import read_study
from emomtl_tasks.shipped_manifests import folder

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    ("check", "NAME", "--no-step"),
    ("train", "NAME"),
    ("data", "audit", "NAME"),
    ("affinity", "NAME"),
    ("lexicon", "baseline", "NAME"),
    ("study", "NAME", "--plan"),
    ("claims", "NAME", "."),
    ("check", "quickstart", "--no-step", "--against", "NAME"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_name_lists_what_is_shipped(
    command: tuple[str, ...], cli: Any, tmp_path: Path
) -> None:
    said = cli(*(part.replace("NAME", "quickstrat") for part in command))
    assert said.code == 1
    assert "quickstrat: there is no file of this name and no shipped " in said.err
    if command[0] not in ("study", "claims"):
        assert "(did you mean 'quickstart'?)" in said.err


def test_a_shipped_manifest_is_checked_and_trained_by_its_name(
    cli: Any, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [
        "--set",
        f"encoder.use='{encoder}'",
        "--set",
        "encoder.max_tokens=16",
        "--set",
        "train.threads=1",
    ]
    said = cli("check", "quickstart", "--no-step", *tiny)
    assert said.code == 0, said.err
    assert "quickstart is fine" in said.err
    limits = ["--set", "tasks.demo.limit=16", "--set", "tasks.demo.eval_limit=8"]
    said = cli("train", "quickstart", *tiny, *limits, "--set", "train.epochs=0.1", "--json")
    assert said.code == 0, said.err
    assert (tmp_path / "runs" / "quickstart" / "manifest.toml").is_file()


def test_paths_of_a_shipped_manifest_start_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(
        "text,class\n" + "".join(f"t {i},suicide\nu {i},non-suicide\n" for i in range(9))
    )
    plugins = Plugins.discover()
    plan = compose_given(
        Path("suicide-depression-long"), ["tasks.suicide-depression.source='rows.csv'"], plugins
    )
    assert plan.folder == tmp_path
    path, home = file_of("few-shot", plugins, "study")
    assert read_study(path, None, home).folder(read_study(path).rows()[0]) == tmp_path


def test_a_file_of_the_name_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "goemotions").mkdir()
    plugins = Plugins.discover()
    assert file_of("goemotions", plugins, "manifest") == (folder() / "goemotions.toml", tmp_path)
    (tmp_path / "quickstart").write_text("")
    assert file_of("quickstart", plugins, "manifest") == (Path("quickstart"), None)
    assert file_of("./goemotions.toml", plugins, "manifest") == (Path("goemotions.toml"), None)


def test_a_study_may_start_from_a_shipped_manifest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    rows = '[[rows]]\nname = "a"\n[[rows]]\nname = "b"\nmanifest.train.lr = 1e-3\n'
    path.write_text(f'name = "mine"\nbase = "quickstart"\ntarget = "demo"\n{rows}')
    plugins = Plugins.discover()
    read = read_study(path, None, None, shipped(plugins, "manifest"))
    assert set(read.base["tasks"]) >= {"demo"}
    assert read.folder(read.rows()[0]) == tmp_path
    (tmp_path / "quickstart").write_text('name = "own"\n')
    assert read_study(path, None, None, shipped(plugins, "manifest")).base == {"name": "own"}
    with pytest.raises(EmomtlError):
        read_study(path.rename(tmp_path.parent / "alone.toml"))


@pytest.mark.long
def test_a_built_wheel_ships_them_all(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    source = ROOT / "tasks/manifests"
    wanted = {
        f"emomtl_tasks/manifests/{path.relative_to(source)}" for path in source.rglob("*.toml")
    }
    assert wanted <= names
    assert len(wanted) > 10
    code = (
        "import emomtl; print(emomtl.__file__); from emomtl.cli import main; main(['init',"
        " '--list'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    where, *listed = done.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path / "site")
    assert {line.partition(":")[0] for line in listed} == {
        path.stem for path in source.glob("*.toml")
    }

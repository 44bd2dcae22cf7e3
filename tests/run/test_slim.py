"""A finished run can lose its optimiser's state, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.run import Run, checkpoint, find_checkpoint, open_checkpoint, open_own, slim
from emomtl.safety import files
from emomtl.train import train


@pytest.fixture
def copied(trained: Any, tmp_path: Path) -> Path:
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def parts(run: Path) -> dict[str, dict[str, tuple[str, int]]]:
    """The files of each checkpoint with digests and sizes; every one is verified."""
    opened = Run.open(run)
    return {
        path.name: dict(open_own(opened, path).files)
        for path in sorted(opened.checkpoints.glob("step-*"))
    }


def test_a_slimmed_run_is_scored_and_used_as_before_and_is_smaller(cli: Any, copied: Path) -> None:
    before = parts(copied)
    commands = [
        ["eval", copied, "--json"],
        ["eval", copied, "--checkpoint", "last", "--json"],
        ["predict", copied, "--json", "happy"],
    ]
    said = [cli(*command).out for command in commands]
    done = cli("slim", copied)
    assert done.code == 0, done.err
    assert "removed the optimiser's state of step-" in done.err
    kept = {
        name: {file: one for file, one in files.items() if file != "optimizer.safetensors"}
        for name, files in before.items()
    }
    assert parts(copied) == kept
    assert [cli(*command).out for command in commands] == said
    assert not [path for path in (copied / "checkpoints").iterdir() if path.name.startswith(".")]
    again = cli("slim", copied)
    assert (again.code, "is slim already" in again.err) == (0, True)
    assert "slimmed" in (copied / "log.txt").read_text()


def test_a_run_that_has_not_finished_keeps_everything(
    cli: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.begin(desk.manifest(checkpoint={"every": 1}))

    def stepped(state: Any, progress: float, examples: int) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(session.reporter.display, "stepped", stepped)
    with pytest.raises(KeyboardInterrupt):
        train(session)
    before = parts(session.run.folder)
    assert before
    said = cli("slim", session.run.folder)
    assert said.code == 1
    assert "has not finished, and needs its optimiser's state" in said.err
    assert parts(session.run.folder) == before


def test_a_damaged_checkpoint_stops_it_before_anything_is_changed(cli: Any, copied: Path) -> None:
    model = find_checkpoint(Run.open(copied), "best") / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert cli("slim", copied).code == 1
    assert len(list(copied.glob("checkpoints/step-*/optimizer.safetensors"))) == len(
        list(copied.glob("checkpoints/step-*"))
    )


def test_a_run_in_use_is_refused(cli: Any, copied: Path) -> None:
    with Run.open(copied, lock=True):
        said = cli("slim", copied)
    assert said.code == 1
    assert "in use by process" in said.err


def test_a_slimmed_run_is_not_trained_further(cli: Any, desk: Any) -> None:
    manifest = desk.manifest()
    run = desk.train(manifest)
    assert cli("slim", run.folder).code == 0
    scores = run.scores()
    said = cli("train", manifest, "--out", run.folder, "--resume")
    assert said.code == 0, said.err  # a finished run only prints its scores again
    assert run.scores() == scores
    session = desk.begin(manifest, "interrupted", plugins=desk.stopping())
    with pytest.raises(KeyboardInterrupt):
        train(session)
    path = find_checkpoint(session.run, "last").resolve()
    with Run.open(session.run.folder, lock=True) as run:
        checkpoint.drop_part(run, open_checkpoint(path), "optimizer")
    with pytest.raises(
        EmomtlError, match="was slimmed: without its optimiser's state it cannot be trained further"
    ):
        desk.begin(manifest, "interrupted", resume=True)


def test_a_new_run_starts_from_a_slimmed_one(desk: Any, cli: Any) -> None:
    run = desk.train(desk.manifest())
    assert cli("slim", run.folder).code == 0
    start = {"run": str(run.folder), "heads": True}
    assert desk.train(desk.manifest("next", start=start), "next").scores()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", range(10))
def test_a_kill_at_any_write_rename_or_removal_leaves_a_run_that_slim_finishes(
    cli: Any, copied: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    done = 0

    def counted(real: Any) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            nonlocal done
            if done == at:
                raise Killed
            done += 1
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch, Run.open(copied, lock=True) as run:
        for name in ("move", "remove", "fsync_folder", "write_new"):
            patch.setattr(checkpoint, name, counted(getattr(files, name)))
        patch.setattr(os, "link", counted(os.link))
        with pytest.raises(Killed):
            slim(run)
    assert cli("slim", copied).code == 0
    assert cli("eval", copied).code == 0
    assert all("optimizer.safetensors" not in one for one in parts(copied).values())
    assert all(open_checkpoint(path) for path in copied.glob("checkpoints/step-*"))


def test_train_says_that_a_folder_is_taken_before_it_reads_rows(
    cli: Any, desk: Any, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["emomtl.train.start"], "read", pytest.fail)
    said = cli("train", desk.manifest(), "--out", copied)
    assert said.code == 1
    assert (
        "holds a run already (go on with it by --resume, or choose another folder with --out)"
        in said.err
    )
    pretrain = {"on": ["mood"], "steps": 2}
    shutil.copytree(copied, desk.folder / "fresh-pretrain", symlinks=True)
    said = cli("train", desk.manifest(pretrain=pretrain), "--out", desk.folder / "fresh")
    assert (said.code, "holds a run already" in said.err) == (1, True)
    shutil.move(desk.folder / "fresh-pretrain", desk.folder / "fresh")
    said = cli("train", desk.manifest(pretrain=pretrain), "--out", desk.folder / "fresh")
    assert (said.code, "holds a run already" in said.err) == (1, True)

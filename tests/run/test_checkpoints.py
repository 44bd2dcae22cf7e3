"""`last` and `best` mean what they were set to, a run goes on from what verifies, and nothing
damaged is passed over silently.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.run import (
    Run,
    align,
    find_checkpoint,
    open_checkpoint,
    open_which,
    point,
    prune,
    resume_point,
    save_checkpoint,
)

Parts = Callable[[int], dict[str, Any]]


def spoil(path: Path) -> None:
    """Flip a bit in a file of a checkpoint."""
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(data)


@pytest.fixture
def shelf(run: Run, parts: Parts) -> list[Path]:
    """Checkpoints of the steps 1, 2 and 3; `last` is 3 and `best` is 2."""
    paths = [save_checkpoint(run, step, parts(step), {"n": step}) for step in (1, 2, 3)]
    point(run, "best", paths[1])
    point(run, "last", paths[2])
    return paths


def test_a_checkpoint_is_found_by_each_of_its_names(run: Run, shelf: list[Path]) -> None:
    found = [
        find_checkpoint(run, which) for which in ("last", "best", "1", "step-00000001", "step-1")
    ]
    assert found == [shelf[2], shelf[1], shelf[0], shelf[0], shelf[0]]


@pytest.mark.parametrize("which", ["4", "../../x", "", "٣", "9" * 5000, "last\n"])
def test_a_checkpoint_that_does_not_exist_is_refused_with_those_that_do(
    run: Run, shelf: list[Path], which: str
) -> None:
    with pytest.raises(
        EmomtlError, match="known: last, best, step-00000001, step-00000002, step-00000003"
    ):
        find_checkpoint(run, which)


def test_no_checkpoint_yet_is_said(run: Run) -> None:
    for which in ("last", "best", "1"):
        with pytest.raises(EmomtlError, match="there are none yet"):
            find_checkpoint(run, which)
    assert resume_point(run) is None


def test_the_links_survive_a_move_of_the_run(run: Run, shelf: list[Path]) -> None:
    run.close()
    moved = run.folder.rename(run.folder.with_name("moved"))
    assert find_checkpoint(Run.open(moved), "best") == moved / "checkpoints" / "step-00000002"


def test_only_a_checkpoint_of_the_run_can_be_pointed_at(run: Run, tmp_path: Path) -> None:
    for which, path in (
        ("last", tmp_path),
        ("newest", tmp_path),
        ("last", run.checkpoints / "step-00000009"),
    ):
        with pytest.raises(ValueError, match="cannot point at"):
            point(run, which, path)


def test_a_run_goes_on_from_last_and_not_from_a_newer_one(run: Run, shelf: list[Path]) -> None:
    point(run, "last", shelf[1])
    checkpoint = resume_point(run)
    assert checkpoint is not None
    assert (checkpoint.path, checkpoint.step, checkpoint.state) == (shelf[1], 2, {"n": 2})


@pytest.mark.parametrize("how", ["missing", "dangling"])
def test_without_last_a_run_goes_on_from_the_newest(run: Run, shelf: list[Path], how: str) -> None:
    (run.checkpoints / "last").unlink()
    if how == "dangling":
        (run.checkpoints / "last").symlink_to("step-00000009")
    checkpoint = resume_point(run)
    assert checkpoint is not None
    assert checkpoint.step == 3


def test_a_damaged_last_stops_with_the_last_good_one_and_the_way_to_go_on_works(
    run: Run, shelf: list[Path]
) -> None:
    spoil(shelf[2])
    with pytest.raises(
        EmomtlError,
        match=r"step-00000003/model\.safetensors: damaged.*last good checkpoint is step-00000002",
    ):
        resume_point(run)
    for file in shelf[2].iterdir():
        file.unlink()
    shelf[2].rmdir()
    checkpoint = resume_point(run)
    assert checkpoint is not None
    assert checkpoint.step == 2


def test_every_damaged_folder_in_the_way_is_named_at_once(run: Run, shelf: list[Path]) -> None:
    spoil(shelf[2])
    spoil(shelf[1])
    with pytest.raises(EmomtlError, match="last good checkpoint is step-00000001") as caught:
        resume_point(run)
    assert [Path(problem.place).parent for problem in caught.value.problems] == [shelf[2], shelf[1]]
    spoil(shelf[0])
    with pytest.raises(EmomtlError, match="no other checkpoint is good"):
        resume_point(run)


@pytest.mark.parametrize("target", ["/etc", "../../x", "step-1", ".tmp-5-5"])
def test_a_pointer_to_somewhere_else_is_refused(run: Run, shelf: list[Path], target: str) -> None:
    (run.checkpoints / "last").unlink()
    (run.checkpoints / "last").symlink_to(target)
    with pytest.raises(EmomtlError, match="last: not a link to a checkpoint beside it"):
        resume_point(run)


def test_what_a_crash_left_is_removed_before_a_run_goes_on(run: Run, shelf: list[Path]) -> None:
    for name in (".tmp-4-99", ".del-step-00000001"):
        (run.checkpoints / name).mkdir()
        (run.checkpoints / name / "model.safetensors").write_bytes(b"half")
    (run.checkpoints / ".tmp-last").symlink_to("step-00000001")
    assert resume_point(run) is not None
    assert sorted(os.listdir(run.checkpoints)) == [
        "best",
        "last",
        "step-00000001",
        "step-00000002",
        "step-00000003",
    ]


def test_a_checkpoint_whose_replacement_was_cut_short_is_put_back(
    run: Run, shelf: list[Path]
) -> None:
    shelf[2].rename(run.checkpoints / ".old-step-00000003")
    checkpoint = resume_point(run)
    assert checkpoint is not None
    assert checkpoint.path == shelf[2]


def test_pruning_keeps_what_it_is_told_and_what_the_links_mean(
    run: Run, shelf: list[Path], parts: Parts
) -> None:
    save_checkpoint(run, 4, parts(4), {})
    prune(run, [run.checkpoints / "step-00000004"])
    assert sorted(os.listdir(run.checkpoints)) == [
        "best",
        "last",
        "step-00000002",
        "step-00000003",
        "step-00000004",
    ]
    prune(run, [run.checkpoints / "last"])
    assert sorted(os.listdir(run.checkpoints)) == ["best", "last", "step-00000002", "step-00000003"]


def test_a_crash_in_pruning_leaves_no_half_checkpoint_that_looks_whole(
    run: Run, shelf: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path) -> None:
        (path / "model.safetensors").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("emomtl.run.checkpoints.remove", stop)
    with pytest.raises(KeyboardInterrupt):
        prune(run, [])
    monkeypatch.undo()
    assert sorted(os.listdir(run.checkpoints)) == [
        ".del-step-00000001",
        "best",
        "last",
        "step-00000002",
        "step-00000003",
    ]
    assert resume_point(run) is not None
    assert not (run.checkpoints / ".del-step-00000001").exists()


def test_an_old_checkpoint_between_last_and_pruning_goes_on_a_resume(
    run: Run, shelf: list[Path]
) -> None:
    point(run, "best", shelf[2])
    align(run, open_checkpoint(shelf[2]), 3)
    assert sorted(path.name for path in run.checkpoints.glob("step-*")) == ["step-00000003"]
    assert find_checkpoint(run, "best") == find_checkpoint(run, "last") == shelf[2]


def test_best_is_never_a_step_that_the_resumed_run_has_not_reached(
    run: Run, shelf: list[Path]
) -> None:
    point(run, "last", shelf[1])
    point(run, "best", shelf[2])
    align(run, open_checkpoint(shelf[1]), 1)
    assert (find_checkpoint(run, "best"), find_checkpoint(run, "last")) == (shelf[0], shelf[1])
    assert shelf[2].is_dir()


@pytest.mark.parametrize("moment", ["before it is opened", "while it is read"])
def test_a_checkpoint_that_is_pruned_while_it_is_read_is_the_next_one(
    run: Run, shelf: list[Path], parts: Parts, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from emomtl.run import checkpoints as module

    really = module.open_checkpoint
    later = iter((4, 5))

    def opened(path: Path) -> Any:
        """The run saves another checkpoint, and prunes this one, as it is opened or just after its
        list was read.
        """
        if (step := next(later, None)) is not None:
            newer = save_checkpoint(run, step, parts(step), {"n": step})
            point(run, "best", newer)
            point(run, "last", newer)
            if moment == "while it is read":
                (path / "model.safetensors").unlink()
            prune(run, [])
        return really(path)

    monkeypatch.setattr(module, "open_checkpoint", opened)
    assert open_which(run, "best").step == 5


def test_a_step_that_is_pruned_while_it_is_read_is_said_with_those_that_are_there(
    run: Run, shelf: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.run import checkpoints as module

    really = module.open_checkpoint

    def opened(path: Path) -> Any:
        prune(run, [])
        return really(path)

    monkeypatch.setattr(module, "open_checkpoint", opened)
    with pytest.raises(
        EmomtlError, match=r"no checkpoint '1' .known: last, best, step-00000002, step-00000003"
    ):
        open_which(run, "1")


def test_a_checkpoint_that_is_damaged_is_said_at_once(run: Run, shelf: list[Path]) -> None:
    spoil(shelf[1])
    with pytest.raises(EmomtlError, match="its SHA-256 is not the one that was written"):
        open_which(run, "best")

"""Whatever breaks at whatever point of a save, the power too: the run goes on from a whole
checkpoint, the older or the newer.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.manifest.models import Manifest
from emomtl.run import Run, open_checkpoint, point, prune, resume_point, save_checkpoint

Parts = Callable[[int], dict[str, Any]]
CALLS = ("fsync", "replace", "mkdir", "symlink", "unlink", "rmdir", "chmod", "open")


class Cut(BaseException):
    """The power goes: nothing of the program runs after it."""


class Disk:
    """Counts the calls that change a disk, fails at call `stop` (a power cut: from there on), knows
    what has reached the disk.

    A file's content reaches it by fsync of the file, a folder's names by fsync of the folder, and
    nothing else does.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.calls = root, 0
        self.stop: int | None = None
        self.power_cut = True
        self.log: list[tuple[str, ...]] = []
        self.content: dict[int, bytes | dict[str, int | str]] = {}
        self.held: list[int] = []
        self.real = {name: getattr(os, name) for name in CALLS}
        for name in CALLS:
            patch.setattr(os, name, self._counted(name))
        self.settle()

    def _counted(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return self.real[name](*args, **kwargs)
            self.calls += 1
            if self.stop is not None and self.power_cut and self.calls > self.stop:
                raise Cut
            if self.stop is not None and self.calls == self.stop + 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            answer = self.real[name](*args, **kwargs)
            if name == "fsync":
                self._synced(args[0])
            self.log.append(
                (name, *(self._name(arg) for arg in args if not isinstance(arg, bytes)))
            )
            return answer

        return call

    def _name(self, arg: Any) -> str:
        handle = Path(f"/proc/self/fd/{arg}")
        path = os.readlink(handle) if isinstance(arg, int) and handle.is_symlink() else str(arg)
        return os.path.relpath(path, self.root) if path.startswith(str(self.root)) else path

    def settle(self) -> None:
        """Everything that is there has reached the disk."""
        for path in (self.root, *self.root.rglob("*")):
            if not path.is_symlink():
                handle = self.real["open"](path, os.O_RDONLY)
                self._synced(handle)
                os.close(handle)

    def close(self) -> None:
        """Let go of the inodes that were held."""
        for handle in self.held:
            os.close(handle)

    def _synced(self, handle: int) -> None:
        # keeps the inode's number from being given to another file
        self.held.append(os.dup(handle))
        about = os.fstat(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if stat.S_ISDIR(about.st_mode):
            self.content[about.st_ino] = names_in(path)
        else:
            self.content[about.st_ino] = path.read_bytes()

    def after_power_cut(self, copy: Path, names: str) -> None:
        """What a machine finds when it starts again: `synced` names only, or `all` that were made;
        contents only where synced.
        """
        self._rebuild(copy, self.root, self.root.stat().st_ino, names == "all")

    def _rebuild(self, copy: Path, place: Path | None, number: int, every: bool) -> None:
        content = self.content.get(number, b"")
        if every and place is not None and place.is_dir():
            content = names_in(place)
        if isinstance(content, bytes):
            copy.write_bytes(content)
            return
        copy.mkdir()
        for name, entry in content.items():
            if isinstance(entry, str):
                (copy / name).symlink_to(entry)
            else:
                self._rebuild(copy / name, place / name if place else None, entry, every)


def names_in(folder: Path) -> dict[str, int | str]:
    """The names in a folder: inode numbers, and the targets of links."""
    return {
        path.name: os.readlink(path) if path.is_symlink() else path.lstat().st_ino
        for path in folder.iterdir()
    }


def save_next(run: Run, parts: Parts) -> None:
    """What training does at a checkpoint: save, point, drop the older one."""
    point(run, "last", save_checkpoint(run, 4, parts(4), {"n": 4}))
    prune(run, [])


def save_again(run: Run, parts: Parts) -> None:
    """A step done again with another result."""
    point(run, "last", save_checkpoint(run, 2, parts(4), {"n": 4}))


def begin(run: Run, parts: Parts) -> None:
    """Two events and a checkpoint of step 2."""
    run.log_event("one")
    point(run, "last", save_checkpoint(run, 2, parts(2), {"n": 2}))


def assert_goes_on(run: Run, parts: Parts) -> int:
    """The checkpoint to go on from is one that was saved, whole; saving works again; returns which
    it was.
    """
    checkpoint = resume_point(run)
    assert checkpoint is not None
    number = int(checkpoint.state["n"])
    assert number in (2, 4)
    assert {name: tensor.tolist() for name, tensor in checkpoint.tensors("model").items()} == {
        name: tensor.tolist() for name, tensor in parts(number)["model"].items()
    }
    assert not [name for name in os.listdir(run.checkpoints) if name.startswith(".")]
    point(run, "last", save_checkpoint(run, 6, parts(6), {"n": 6}))
    again = resume_point(run)
    assert again is not None
    assert again.step == 6
    return number


@pytest.mark.parametrize("names", ["synced", "all"])
@pytest.mark.parametrize("save", [save_next, save_again])
def test_a_power_cut_at_any_point_of_a_save_leaves_a_whole_checkpoint(
    tmp_path: Path, manifest: Manifest, parts: Parts, save: Callable[[Run, Parts], None], names: str
) -> None:
    gone_on: list[int] = []
    finished = False
    while not finished:
        root, after = tmp_path / str(len(gone_on)), tmp_path / f"{len(gone_on)}-after"
        with pytest.MonkeyPatch.context() as patch, Run.create(root, manifest, {}) as run:
            begin(run, parts)
            disk = Disk(root, patch)
            disk.stop = len(gone_on)
            try:
                save(run, parts)
                finished = True
            except Cut:
                finished = False
            patch.undo()
            disk.after_power_cut(after, names)
            disk.close()
        with Run.open(after, lock=True) as started_again:
            gone_on.append(assert_goes_on(started_again, parts))
            assert [event["event"] for event in started_again.events()] == ["one"]
    assert len(gone_on) > 15
    assert gone_on == sorted(gone_on)
    assert (gone_on[0], gone_on[-1]) == (2, 4)


@pytest.mark.parametrize("save", [save_next, save_again])
def test_an_error_of_the_disk_at_any_point_is_said_and_the_run_goes_on(
    tmp_path: Path, manifest: Manifest, parts: Parts, save: Callable[[Run, Parts], None]
) -> None:
    stop, refused, said = 0, True, list[str]()
    while refused:
        root = tmp_path / str(stop)
        with pytest.MonkeyPatch.context() as patch, Run.create(root, manifest, {}) as run:
            begin(run, parts)
            disk = Disk(root, patch)
            disk.stop, disk.power_cut = stop, False
            try:
                save(run, parts)
                refused = disk.calls > stop  # an error in tidying up afterwards may be passed over
            except EmomtlError as error:
                said.append(str(error))
            patch.undo()
            disk.close()
            assert not list(run.checkpoints.glob(".tmp-[0-9]*"))
            assert_goes_on(run, parts)
        stop += 1
    assert len(said) > 12
    assert all("Input/output error" in message and str(tmp_path) in message for message in said)


def test_files_are_synced_before_their_folder_and_that_before_the_name_is_given(
    run: Run, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(run.folder, monkeypatch)
    path = save_checkpoint(run, 500, parts(1), {})
    point(run, "last", path)
    monkeypatch.undo()
    disk.close()
    aside = f"checkpoints/.tmp-step-00000500-{os.getpid()}"
    log = [call for call in disk.log if call[0] in ("fsync", "replace")]
    files = [
        ("fsync", f"{aside}/{name}")
        for name in ("state.json", "model.safetensors", "optimizer.safetensors", "sha256.txt")
    ]
    assert log == [
        *files,
        ("fsync", aside),
        ("replace", aside, "checkpoints/step-00000500"),
        ("fsync", "checkpoints"),
        ("replace", "checkpoints/.tmp-last", "checkpoints/last"),
        ("fsync", "checkpoints"),
    ]


def test_every_file_of_a_checkpoint_was_synced(
    run: Run, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(run.folder, monkeypatch)
    path = save_checkpoint(run, 500, parts(1), {})
    monkeypatch.undo()
    disk.close()
    for file in path.iterdir():
        assert disk.content[file.stat().st_ino] == file.read_bytes()
    assert open_checkpoint(path).step == 500

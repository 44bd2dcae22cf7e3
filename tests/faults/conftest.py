"""What looks that a refused command says one thing and changes nothing."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# for `hostile_inputs`, which the tests and a script share
sys.path.insert(0, str(Path(__file__).parent))


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file with its content and every link with its target."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


class Refusing:
    """Runs commands that have to be refused, and looks that nothing changed."""

    snapshot = staticmethod(snapshot)

    def __init__(self, cli: Any, folder: Path) -> None:
        self.cli, self.folder = cli, folder

    def __call__(self, *arguments: object, problems: int = 1) -> str:
        """The message of a refused command; `problems` is how many it lists."""
        before = snapshot(self.folder)
        said = self.cli(*arguments)
        assert said.code == 1, said.err
        assert said.out == ""
        assert snapshot(self.folder) == before
        assert "Traceback" not in said.err
        lines = [
            line
            for line in said.err.splitlines()
            if not line.endswith(" ...") and not line.startswith("note: ")
        ]
        assert len(lines) == (1 if problems == 1 else problems + 1), said.err
        assert all(len(line) < 900 for line in lines)
        return str(said.err)


@pytest.fixture
def refused(cli: Any, desk: Any) -> Refusing:
    return Refusing(cli, desk.folder)


@pytest.fixture
def finished(trained: Any, tmp_path: Path, cli: Any) -> tuple[Path, Refusing]:
    """A copy of a finished run, and what looks at it."""
    shutil.copytree(trained.folder, tmp_path / "finished", symlinks=True)
    return tmp_path / "finished", Refusing(cli, tmp_path / "finished")


@pytest.fixture
def memory_desk(make_desk: Callable[[Path], Any], tmp_path: Path) -> Iterator[Any]:
    """A desk in memory where there is room: the kernel keeps what a killed process wrote, there as
    on a disk.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield make_desk(tmp_path / "desk")
        return
    with tempfile.TemporaryDirectory(prefix="emomtl-killed-", dir=memory) as folder:
        yield make_desk(Path(folder))

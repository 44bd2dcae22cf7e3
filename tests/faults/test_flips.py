"""One byte changed at a random place of any file of a checkpoint: every time it is refused, by the
name of that file.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.run import Run, find_checkpoint, open_checkpoint, resume_point


def flips(folder: Path, times: int) -> int:
    """Change one byte of a file at a time, and give how many of the changes were refused by the
    file's name.
    """
    seed = random.SystemRandom().randrange(2**32)
    print("seed of the flips:", seed)
    draw, refused = random.Random(seed), 0
    files = sorted(folder.iterdir())
    for number in range(times):
        path = files[number % len(files)]
        data = path.read_bytes()
        at = draw.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :])
        try:
            open_checkpoint(folder)
            print("accepted:", path.name, "at byte", at)
        except EmomtlError as error:
            refused += path.name in str(error)
        path.write_bytes(data)
    open_checkpoint(folder)
    return refused


@pytest.fixture
def checkpoint(trained: Run, tmp_path: Path) -> Path:
    """A copy of a run's last checkpoint."""
    source = find_checkpoint(trained, "last").resolve()
    return Path(shutil.copytree(source, tmp_path / source.name))


def test_a_hundred_flipped_bytes_are_refused(checkpoint: Path) -> None:
    assert flips(checkpoint, 100) == 100


@pytest.mark.long
def test_a_thousand_flipped_bytes_are_refused(checkpoint: Path) -> None:
    assert flips(checkpoint, 1000) == 1000


def test_a_resume_over_a_flipped_byte_stops_at_any_file(trained: Run, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    with Run.open(tmp_path / "run", lock=True) as run:
        for path in sorted(find_checkpoint(run, "last").resolve().iterdir()):
            data: Any = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
            with pytest.raises(EmomtlError, match=path.name):
                resume_point(run)
            data[-1] ^= 1
            path.write_bytes(data)

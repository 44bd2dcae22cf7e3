"""The command line, run in this process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def copied(trained: Any, tmp_path: Path) -> Path:
    """A copy of the shared finished run, to write into."""
    folder = tmp_path / "copied"
    shutil.copytree(trained.folder, folder, symlinks=True)
    return folder

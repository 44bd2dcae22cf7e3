"""A reason to stop: somebody has put a file named STOP into the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl import hookimpl

if TYPE_CHECKING:
    from emomtl.run import Run


@hookimpl
def emomtl_should_stop(run: Run, scores: Mapping[str, Mapping[str, float]]) -> str | None:
    """After each evaluation: end the run where the file is there; what it says is the reason."""
    wish = run.folder / "STOP"
    if not wish.is_file():
        return None
    return wish.read_text(encoding="utf-8").strip() or f"{wish.name} was put into the run's folder"

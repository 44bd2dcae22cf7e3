"""A clock that jumps changes no result: no logic reads it, and what does only tells people when."""

from __future__ import annotations

import ast
import os
import random
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from emomtl.plugins.discovery import Plugins

ROOT = Path(__file__).parents[2]
TELLING = {
    "emomtl/cli/cache.py": "when an entry of the cache was last used, in a table",
    "emomtl/data/cache/store.py": (
        "when an entry was made and last used; what a killed builder left is removed after a day"
    ),
    "emomtl/run/lock.py": "since when a run has been in use, in a message",
}
"""The only modules that may read the wall clock or the times of files, each with what it does with
them.
"""

CLOCKS = {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime"}
"""Functions of `time` that tell the hour."""

OTHERS = {
    "now",
    "utcnow",
    "today",
    "fromtimestamp",
    "st_mtime",
    "st_mtime_ns",
    "st_ctime",
    "st_atime",
    "getmtime",
    "getctime",
}


def readings(path: Path) -> list[int]:
    """The lines on which a module reads the wall clock or a file's times."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            module = node.value.id if isinstance(node.value, ast.Name) else ""
            if (module == "time" and node.attr in CLOCKS) or node.attr in OTHERS:
                found.append(node.lineno)
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and CLOCKS & {alias.name for alias in node.names}
        ):
            found.append(node.lineno)
    return found


def test_only_what_tells_people_when_reads_the_wall_clock() -> None:
    folders = (ROOT / "emomtl", ROOT / "plugins", ROOT / "tasks")
    reading = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*.py")
        if readings(path)
    }
    assert reading == set(TELLING)


class Jumping(Plugins):
    """Stops the run at its fourth checkpoint, as Ctrl-C does, if it is to."""

    stopping = False

    def emit(self, event: str, **facts: Any) -> list[Any]:
        answers = super().emit(event, **facts)
        if event == "emomtl_checkpointed" and self.stopping and facts["path"].name.endswith("4"):
            raise KeyboardInterrupt
        return answers


def test_a_clock_that_jumps_by_years_changes_no_result(
    desk: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = desk.manifest(train={"steps": 8}, eval={"every": 4})
    unbroken = contents(desk.train(manifest, "unbroken"))
    draw, real = random.Random(3), time.time

    class Wild(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Wild:
            return cls(draw.randrange(1971, 2200), 1, 1, tzinfo=tz or UTC)

    def wild() -> float:
        return real() + draw.uniform(-(10**9), 10**9)

    plugins = Jumping.discover()
    plugins.stopping = True
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", wild)
        patch.setattr(time, "time_ns", lambda: int(wild() * 1e9))
        patch.setattr("emomtl.run.lock.datetime", Wild)
        with pytest.raises(KeyboardInterrupt):
            desk.train(manifest, "run", plugins=plugins)
        for path in (desk.folder / "run").rglob("*"):
            when = draw.uniform(0, 4e9)
            os.utime(path, (when, when), follow_symlinks=False)
        desk.train(manifest, "run", resume=True)
    assert contents(desk.folder / "run") == unbroken

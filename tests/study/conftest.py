"""A small study over the desk's two tasks, written where a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write_study(desk: Any) -> Callable[..., Path]:
    """Write a study over the desk's manifest: rows by name with their changes; other keys as they
    are given.
    """
    import tomli_w

    def write(rows: Any = None, **keys: Any) -> Path:
        desk.manifest(
            "base",
            sampler={"use": "uniform", "per_step": "all"},
            weighting={"use": "equal"},
            train={"steps": None, "target": "mood", "target_updates": 4},
            eval={"every": 2},
        )
        shown = {"alone": {}, "faster": {"train": {"lr": 2e-3}}} if rows is None else rows
        content = {
            "name": "small",
            "base": "base.toml",
            "target": "mood",
            "seeds": [1, 2],
            "rows": (
                shown
                if isinstance(shown, list)
                else [{"name": name, "manifest": part} for name, part in shown.items()]
            ),
            **keys,
        }
        path = desk.folder / "study.toml"
        path.write_text(
            tomli_w.dumps({key: value for key, value in content.items() if value is not None}),
            encoding="utf-8",
        )
        return path

    return write

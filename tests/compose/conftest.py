"""What tests of runs in several stages share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def stopped_in_a_stage(desk: Any, contents: Any) -> Callable[[str, int, str], list[Any]]:
    """Trains all stages, puts these runs aside, and trains again until a step of the run called
    `name`.

    Gives the contents of the unbroken runs, stage by stage.
    """

    def train(manifest: str, step: int, name: str) -> list[Any]:
        unbroken_runs = desk.train_stages(manifest, "run")
        unbroken = [contents(run, "last") for run in unbroken_runs]
        for run in unbroken_runs:
            shutil.move(run.folder, run.folder.with_name(f"unbroken-{run.folder.name}"))
        with pytest.raises(KeyboardInterrupt):
            desk.train_stages(manifest, "run", plugins=desk.stopping(step, name))
        return unbroken

    return train

"""A small manifest, a run that is made and locked, and parts for its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emomtl.manifest.models import EncoderTable, Manifest, TaskTable
from emomtl.run import Run


@pytest.fixture
def manifest() -> Manifest:
    """One encoder, one task."""
    return Manifest(name="small", encoder=EncoderTable(use="minilm"), tasks={"demo": TaskTable()})


@pytest.fixture
def run(tmp_path: Path, manifest: Manifest) -> Iterator[Run]:
    """A new run, locked by this process."""
    with Run.create(tmp_path / "runs" / "small", manifest, {"torch": "2", "device": "cpu"}) as made:
        yield made


@pytest.fixture
def parts() -> Callable[[int], dict[str, Any]]:
    """Parts of a small checkpoint that differ from seed to seed."""
    import torch

    def make(seed: int) -> dict[str, Any]:
        draw = torch.Generator().manual_seed(seed)
        weight = torch.randn(4, 3, generator=draw)
        return {
            "model": {"weight": weight, "bias": weight[0]},
            "optimizer": {"weight": torch.randn(4, 3, generator=draw), "bias": weight[1]},
        }

    return make

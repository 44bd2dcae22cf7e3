"""A manifest trained for a few steps on the tiny encoder: the whole way from rows to a checkpoint, in seconds, offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.testing.tiny_encoder import tiny_encoder

ROWS = 64
"""Rows of a task that are read for training, and for validation."""


def train_briefly(
    manifest: Path, folder: Path, steps: int = 4, overrides: Sequence[str] = (), plugins: Plugins | None = None
) -> Run:
    """Train a manifest for `steps` steps into `folder / "run"` and return the run, closed; its events and scores can be read.

    The encoder is `tiny_encoder`, every step is logged, every second scored, and at most 64 rows of a task are read. Another
    run to start from, and pre-training, are left out.
    `overrides` are `KEY=VALUE` as for `emomtl train --set`; `plugins` are those that are installed unless given.
    """
    from emomtl.compose import compose
    from emomtl.manifest import read_draft
    from emomtl.train import Display, start, train

    draft = read_draft(manifest, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    given = draft.manifest
    brief = {"epochs": None, "target": None, "target_updates": None, "steps": steps, "log_every": 1, "threads": 1}
    small = {
        "encoder": given.encoder.model_copy(update={"use": str(tiny_encoder(folder / "tiny-encoder"))}),
        "train": given.train.model_copy(update={**brief, "batch_size": min(8, given.train.batch_size)}),
        "eval": given.eval.model_copy(update={"every": 2}),
        "start": None,
        "pretrain": None,
        "stages": (),
        "tasks": {name: task.model_copy(update={"limit": ROWS, "eval_limit": ROWS}) for name, task in given.tasks.items()},
    }
    draft = replace(draft, manifest=given.model_copy(update=small))
    assert draft.manifest is not None
    plan = compose(draft.manifest, plugins if plugins is not None else Plugins.discover(), manifest.parent, draft)
    session = start(plan, folder / "run", Display())
    train(session)
    return session.run

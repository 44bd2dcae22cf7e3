"""A manifest trained for a few steps on a tiny encoder, from rows to a checkpoint, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run
from emomtl.testing.tiny_encoder import tiny_encoder

ROWS = 64
"""The most rows of a task that are read for training, and for validation."""


def train_briefly(
    manifest: Path,
    folder: Path,
    steps: int = 4,
    overrides: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> Run:
    """Train a manifest for `steps` steps into `folder / "run"` and return the run, closed.

    Its events and scores can be read. The encoder is `tiny_encoder`, every step is logged, every
    second scored, and at most 64 rows of a task are read. Another run to start from, and
    pre-training, are left out. `overrides` are `KEY=VALUE` as for `emomtl train --set`; `plugins`
    are the installed ones unless given.
    """
    from emomtl.compose import compose
    from emomtl.manifest import read_draft
    from emomtl.train import Display, start, train

    draft = read_draft(manifest, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    whole = draft.manifest
    encoder = {"use": str(tiny_encoder(folder / "tiny-encoder"))}
    length = {"epochs": None, "target": None, "target_updates": None, "steps": steps}
    training = {"batch_size": min(8, whole.train.batch_size), "log_every": 1, "threads": 1}
    limits = {"limit": ROWS, "eval_limit": ROWS}
    brief = {
        "encoder": whole.encoder.model_copy(update=encoder),
        "train": whole.train.model_copy(update={**length, **training}),
        "eval": whole.eval.model_copy(update={"every": 2}),
        "start": None,
        "pretrain": None,
        "stages": (),
        "tasks": {name: task.model_copy(update=limits) for name, task in whole.tasks.items()},
    }
    brief_manifest = whole.model_copy(update=brief)
    draft = replace(draft, manifest=brief_manifest)
    if plugins is None:
        plugins = Plugins.discover()
    plan = compose(brief_manifest, plugins, manifest.parent, draft)
    session = start(plan, folder / "run", Display())
    train(session)
    return session.run

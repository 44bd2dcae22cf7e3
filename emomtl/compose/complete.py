"""The complete manifest of a plan: every default and option is written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomtl.compose.features import complete_features
from emomtl.compose.objectives import complete_objectives
from emomtl.compose.plan import DEFAULT_EPOCHS, Plan
from emomtl.data.bound_task import BoundTask
from emomtl.manifest import (
    EncoderTable,
    HeadTable,
    Manifest,
    SamplerTable,
    TaskTable,
    TrainTable,
    Use,
    options_of,
)


def complete_manifest(plan: Plan, tasks: Mapping[str, BoundTask], select: str) -> Manifest:
    """The manifest of a plan, complete.

    `tasks` are all of its tasks, untrained ones too, and `select` is the metric that chooses the
    best checkpoint.
    """
    manifest = plan.manifest
    weights = manifest.eval.weights or ("ema" if manifest.train.ema else None)
    sampler, weighting = manifest.sampler, manifest.weighting
    complete = {
        "folder": str(plan.folder),
        "tasks": {name: _task(task) for name, task in tasks.items()},
        "objectives": complete_objectives(manifest, plan.objectives),
        "features": complete_features(plan.features),
        "sampler": SamplerTable(
            use=sampler.use, per_step=sampler.per_step, **options_of(plan.sampler)
        ),
        "weighting": Use(use=weighting.use, **options_of(plan.weighting)),
        "encoder": _encoder(manifest.encoder, plan),
        "train": _train(manifest.train),
        "eval": manifest.eval.model_copy(update={"select": select, "weights": weights}),
    }
    return manifest.model_copy(update=complete)


def _task(task: BoundTask) -> TaskTable:
    changes = {
        "use": task.table.use or task.name,
        "options": options_of(task.family) if task.family is not None else {},
        "head": HeadTable(use=task.head.kind, **options_of(task.head)),
    }
    return task.table.model_copy(update=changes)


def _train(table: TrainTable) -> TrainTable:
    has_length = (table.epochs, table.steps, table.target_updates) != (None, None, None)
    return table if has_length else table.model_copy(update={"epochs": float(DEFAULT_EPOCHS)})


def _encoder(table: EncoderTable, plan: Plan) -> EncoderTable:
    """With the pooling that suits it, and the length of a head where the tail is kept, too."""
    named = zip(table.changes, plan.changes, strict=True)
    uses = tuple(Use(use=use.use, **options_of(change)) for use, change in named)
    changes: dict[str, Any] = {"pooling": plan.encoder.pooling, "changes": uses}
    if table.truncate == "head+tail":
        changes["head_tokens"] = plan.encoder.truncation.head_tokens
    return table.model_copy(update=changes)

"""Stages: a manifest with `[pretrain]` is two runs, each with a manifest of its own; the second starts from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.compose.plan import Plan, Start
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.manifest import EvalTable, HeadTable, Manifest, PretrainTable, StartTable, TaskTable
from emomtl.run import is_run

OBJECTIVE = "masked-tokens"
"""The task that pre-training makes of others, and its head."""

MASKED = "masked-"
"""What stands before the name of a task for that of masked language modelling on it."""

SUFFIX = "-pretrain"
"""What stands behind the name, and behind the folder, of a run for that of its pre-training."""


def pretraining(manifest: Manifest) -> Manifest:
    """The manifest of the run that `[pretrain]` asks for: nothing but masked language modelling on the tasks of `on`.

    Encoder (without its changes), `[start]`, seed and the way in which rows are read are those of the manifest; lengths and rates
    are of `[pretrain]`.
    The tasks themselves stand in it untrained. A pure function; EmomtlError where `on` and `sources` do not go together.
    """
    table = manifest.pretrain
    if table is None:
        raise ValueError("the manifest has no [pretrain]")
    names = list(dict.fromkeys(table.on))
    if strange := [name for name in table.sources if name not in names]:
        raise EmomtlError(Problem("pretrain.sources", f"'{strange[0]}' is not among `on`", suggest(strange[0], names)))
    bases = {name: _base(manifest, table, name) for name in _needed(manifest.tasks, names)}
    made = {MASKED + name: _masked(table, name, bases[name]) for name in names}
    if taken := [name for name in made if name in bases]:
        raise EmomtlError(Problem("pretrain.on", f"there is a task '{taken[0]}' already", "give that task another name"))
    length = {"epochs": table.epochs, "steps": table.steps, "target": None, "target_updates": None}
    rates = {"batch_size": table.batch_size, "lr": table.lr, "head_lr": table.head_lr, "warmup": table.warmup}
    stage = {
        "name": manifest.name[: 100 - len(SUFFIX)] + SUFFIX,
        "pretrain": None,
        "encoder": manifest.encoder.model_copy(update={"changes": ()}),
        "tasks": bases | made,
        "objectives": {},
        "features": {},
        "sampler": Manifest.model_fields["sampler"].get_default(call_default_factory=True),
        "weighting": Manifest.model_fields["weighting"].get_default(call_default_factory=True),
        "train": manifest.train.model_copy(update=length | rates),
        "eval": EvalTable(batch_size=manifest.eval.batch_size),
    }
    return manifest.model_copy(update=stage)


def _needed(tables: Mapping[str, TaskTable], names: list[str]) -> list[str]:
    """The tasks named, and those of the run that they are made of."""
    found = list(names)
    for name in found:
        of = str(tables[name].options.get("of")) if name in tables else ""
        if of in tables and of not in found:
            found.append(of)
    return found


def _base(manifest: Manifest, table: PretrainTable, name: str) -> TaskTable:
    """A task of the run as it is, or an installed one; untrained."""
    own = manifest.tasks.get(name, TaskTable())
    return own.model_copy(update={"trained": False, "source": table.sources.get(name, own.source)})


def _masked(table: PretrainTable, name: str, base: TaskTable) -> TaskTable:
    """The table of masked language modelling on a task."""
    options = {"share": table.share, "mask": table.mask, "random": table.random}
    head = HeadTable(use=OBJECTIVE, **options)
    made = TaskTable(use=OBJECTIVE, options={"of": name}, head=head, limit=table.limit, eval_limit=base.eval_limit)
    return made.model_copy(update={"max_tokens": base.max_tokens})


def stages(plan: Plan, folder: Path) -> list[tuple[Plan, Path]]:
    """The runs of a plan in order, each with its folder: `folder` is the last one's, its pre-training lies beside it."""
    if plan.pretrain is None:
        return [(plan, folder)]
    before = folder.absolute().with_name(folder.absolute().name + SUFFIX)
    start = Start(before, "best", heads=False)
    table = StartTable(run=str(before), checkpoint="best", heads=False)
    manifest = plan.manifest.model_copy(update={"pretrain": None, "start": table})
    encoder = replace(plan.encoder, where=str(before / "encoder"))
    return [(plan.pretrain, before), (replace(plan, manifest=manifest, pretrain=None, start=start, encoder=encoder), folder)]


def left(every: Sequence[tuple[Plan, Path]]) -> list[tuple[Plan, Path]]:
    """What a resume has to do of some stages: the last that has begun, which is gone on with, and all after it."""
    begun = [number for number, (_, folder) in enumerate(every) if is_run(folder)]
    return list(every[begun[-1] if begun else 0 :])

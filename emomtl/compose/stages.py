"""Several runs of one manifest, by `[[stages]]` or `[pretrain]`: their order, their folders, and how each starts."""

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

PRETRAIN = "pretrain"
"""The stage that `[pretrain]` makes."""


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
    bases = {name: _base(manifest, table, name) for name in needed_tasks(manifest.tasks, names)}
    made = {MASKED + name: _masked(table, name, bases[name]) for name in names}
    if taken := [name for name in made if name in bases]:
        raise EmomtlError(Problem("pretrain.on", f"there is a task '{taken[0]}' already", "give that task another name"))
    length = {"epochs": table.epochs, "steps": table.steps, "target": None, "target_updates": None}
    rates = {"batch_size": table.batch_size, "lr": table.lr, "head_lr": table.head_lr, "warmup": table.warmup}
    stage = {
        "name": stage_name(manifest.name, PRETRAIN),
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


def stage_name(name: str, stage: str) -> str:
    """The name of a run of which another stage is the last."""
    return f"{name[: 99 - len(stage)]}-{stage}"


def needed_tasks(tables: Mapping[str, TaskTable], names: list[str]) -> list[str]:
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


def plans(plan: Plan) -> list[Plan]:
    """The runs of a plan in order, the last one being the plan itself."""
    found = [plan]
    while found[0].before is not None:
        found.insert(0, found[0].before.plan)
    return found


def stages(plan: Plan, folder: Path) -> list[tuple[Plan, Path]]:
    """The runs of a plan in order, each with its folder: `folder` is the last one's, earlier ones lie beside it.

    Each but the first starts from the one before, and its manifest says so.
    """
    home = folder.absolute()
    first, *others = plans(plan)
    made = [(first, folder if not others else _beside(home, others[0]))]
    for number, one in enumerate(others):
        last = number == len(others) - 1
        where = folder if last else _beside(home, others[number + 1])
        made.append((_after(one, made[-1][1]), where))
    return made


def _beside(home: Path, following: Plan) -> Path:
    """The folder of the run that comes before another one."""
    assert following.before is not None
    return home.with_name(f"{home.name}-{following.before.stage}")


def _after(plan: Plan, earlier: Path) -> Plan:
    """A plan that starts from the run in a folder, which has been made when it begins."""
    assert plan.before is not None
    checkpoint, heads = plan.before.checkpoint, plan.before.heads
    table = StartTable.model_validate({"run": str(earlier), "checkpoint": checkpoint, "heads": heads})
    manifest = plan.manifest.model_copy(update={"pretrain": None, "start": table})
    encoder = replace(plan.encoder, where=str(earlier / "encoder"))
    start = Start(earlier, checkpoint, heads)
    return replace(plan, manifest=manifest, before=None, start=start, encoder=encoder)


def left(every: Sequence[tuple[Plan, Path]]) -> list[tuple[Plan, Path]]:
    """What a resume has to do of some stages: the last that has begun, which is gone on with, and all after it."""
    begun = [number for number, (_, folder) in enumerate(every) if is_run(folder)]
    return list(every[begun[-1] if begun else 0 :])


def updates_over_stages(plan: Plan, target: str) -> int | None:
    """The updates of a task in all stages of a plan; None where one that trains it has another length."""
    total = 0
    for one in plans(plan):
        if target in one.tasks:
            train = one.manifest.train
            if train.target != target or train.target_updates is None:
                return None
            total += train.target_updates
    return total

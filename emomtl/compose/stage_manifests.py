"""From one manifest to that of each of its stages, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomtl.compose.plan import DEFAULT_EPOCHS
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import (
    EvalTable,
    HeadTable,
    Manifest,
    PretrainTable,
    StageTable,
    TaskTable,
    TrainTable,
)
from emomtl.metrics.selection import MEAN

OBJECTIVE = "masked-tokens"
"""The task that pre-training makes of others, and its head."""

MASKED = "masked-"
"""What stands before the name of a task for that of masked language modelling on it."""

PRETRAIN = "pretrain"
"""The stage that `[pretrain]` makes."""

LENGTH = ("epochs", "steps", "target", "target_updates")
"""Keys of [train] that say together how long a run is."""


def pretraining(manifest: Manifest) -> Manifest:
    """The manifest of the run that `[pretrain]` asks for: masked language modelling on `on`.

    Encoder (without its changes), `[start]`, seed and the way in which rows are read are those of
    the manifest; lengths and rates are of `[pretrain]`. The tasks themselves stand in it untrained.
    EmomtlError where `on` and `sources` do not go together.
    """
    table = manifest.pretrain
    if table is None:
        raise ValueError("the manifest has no [pretrain]")
    names = list(dict.fromkeys(table.on))
    for name in table.sources:
        if name not in names:
            found = f"'{name}' is not among `on`"
            raise EmomtlError(Problem("pretrain.sources", found, suggest(name, names)))
    tasks = {}
    for name in _with_bases(manifest.tasks, names):
        own = manifest.tasks.get(name, TaskTable())
        source = table.sources.get(name, own.source)
        tasks[name] = own.model_copy(update={"trained": False, "source": source})
    for name in names:
        if MASKED + name in tasks:
            found = f"there is a task '{MASKED}{name}' already"
            raise EmomtlError(Problem("pretrain.on", found, "give that task another name"))
    tasks |= {MASKED + name: _masked(table, name, tasks[name]) for name in names}
    train = {
        **dict.fromkeys(LENGTH),
        "epochs": table.epochs,
        "steps": table.steps,
        "batch_size": table.batch_size,
        "lr": table.lr,
        "head_lr": table.head_lr,
        "warmup": table.warmup,
    }
    changes = {
        "name": stage_name(manifest.name, PRETRAIN),
        "pretrain": None,
        "encoder": manifest.encoder.model_copy(update={"changes": ()}),
        "tasks": tasks,
        "objectives": {},
        "features": {},
        "sampler": Manifest.model_fields["sampler"].get_default(call_default_factory=True),
        "weighting": Manifest.model_fields["weighting"].get_default(call_default_factory=True),
        "train": manifest.train.model_copy(update=train),
        "eval": EvalTable(batch_size=manifest.eval.batch_size),
    }
    return manifest.model_copy(update=changes)


def stage_name(name: str, stage: str) -> str:
    """The name of a run of which another stage is the last."""
    return f"{name[: 99 - len(stage)]}-{stage}"


def _with_bases(tables: Mapping[str, TaskTable], names: Sequence[str]) -> list[str]:
    """The tasks named, and those of the run that they are made of."""
    needed = list(names)
    for name in needed:  # which grows on the way
        of = str(tables[name].options.get("of")) if name in tables else ""
        if of in tables and of not in needed:
            needed.append(of)
    return needed


def _masked(table: PretrainTable, name: str, base: TaskTable) -> TaskTable:
    """The table of masked language modelling on a task."""
    options = {"share": table.share, "mask": table.mask, "random": table.random}
    return TaskTable(
        use=OBJECTIVE,
        options={"of": name},
        head=HeadTable(use=OBJECTIVE, **options),
        limit=table.limit,
        eval_limit=base.eval_limit,
        max_tokens=base.max_tokens,
    )


def stage_manifests(manifest: Manifest) -> list[Manifest]:
    """The manifest of each stage: the whole one with what the stage changes.

    Without `[[stages]]` it is the manifest itself. The first stage keeps `[pretrain]`, `[start]`. A
    stage has the tasks that it trains, and those which they are made of; what the manifest says of
    others (objectives, `eval.select`) is left out. EmomtlError where stages do not fit together.
    """
    if not manifest.stages:
        return [manifest]
    problems = _problems(manifest)
    if problems:
        raise EmomtlError(*problems)
    last = len(manifest.stages) - 1
    manifests = []
    for number, stage in enumerate(manifest.stages):
        changes = {**_parts(manifest, number), "name": manifest.name, "stages": ()}
        if number < last:
            changes["name"] = stage_name(manifest.name, stage.name)
        if number > 0:
            changes |= {"pretrain": None, "start": None}
        manifests.append(manifest.model_copy(update=changes))
    return manifests


def given_keys(table: Any) -> dict[str, Any]:
    """The keys that a stage's table was given, which is all that it changes."""
    return {} if table is None else {key: getattr(table, key) for key in table.model_fields_set}


def _parts(manifest: Manifest, number: int) -> dict[str, Any]:
    """What a stage's manifest has in place of the whole one's parts."""
    stage = manifest.stages[number]
    tasks = _tasks(manifest, stage)
    trained = [name for name, table in tasks.items() if table.trained]
    evaluation = given_keys(stage.eval)
    selected = (manifest.eval.select or MEAN).partition("/")[0]
    if selected != MEAN and selected in manifest.tasks and selected not in trained:
        evaluation.setdefault("select", None)
    objectives = manifest.objectives.items()
    parts: dict[str, Any] = {
        "tasks": tasks,
        "objectives": {name: table for name, table in objectives if table.task in trained},
        "train": _train(manifest, number),
        "eval": manifest.eval.model_copy(update=evaluation),
    }
    if stage.changes is not None:
        parts["encoder"] = manifest.encoder.model_copy(update={"changes": stage.changes})
    if stage.sampler is not None:
        parts["sampler"] = stage.sampler
    if stage.weighting is not None:
        parts["weighting"] = stage.weighting
    return parts


def _tasks(manifest: Manifest, stage: StageTable) -> dict[str, TaskTable]:
    """The tasks that a stage trains, and untrained those which they are made of."""
    trained = _trained(manifest, stage)
    needed = _with_bases(manifest.tasks, trained)
    tables = {}
    for name, table in manifest.tasks.items():
        if name in needed:
            tables[name] = table.model_copy(update={"trained": name in trained})
    return tables


def _trained(manifest: Manifest, stage: StageTable) -> tuple[str, ...]:
    if stage.tasks is not None:
        return stage.tasks
    return tuple(name for name, table in manifest.tasks.items() if table.trained)


def _train(manifest: Manifest, number: int) -> TrainTable:
    """[train] of a stage: a length of its own, its share of the whole length, or that length."""
    stage, train = manifest.stages[number], manifest.train
    changes = given_keys(stage.train)
    if set(LENGTH) & set(changes):
        return train.model_copy(update={**dict.fromkeys(LENGTH), **changes})
    if stage.share is None:
        return train.model_copy(update=changes)
    before = sum(earlier.share or 0.0 for earlier in manifest.stages[:number])
    for key in ("steps", "target_updates"):
        total = getattr(train, key)
        if total is not None:
            # Both ends are rounded, so that the parts of all stages add up to the whole.
            changes[key] = round(total * (before + stage.share)) - round(total * before)
            return train.model_copy(update=changes)
    changes["epochs"] = (train.epochs or DEFAULT_EPOCHS) * stage.share
    return train.model_copy(update=changes)


def _problems(manifest: Manifest) -> list[Problem]:
    """All in which the stages do not fit together, or the manifest."""
    problems: list[Problem] = []
    names = [stage.name for stage in manifest.stages]
    for number, stage in enumerate(manifest.stages):
        place = f"stages[{number}]"
        if stage.name in names[:number]:
            found = f"two stages are called '{stage.name}'"
            problems.append(Problem(f"{place}.name", found, "rename one"))
        if stage.name == PRETRAIN and manifest.pretrain is not None:
            remedy = "give the stage another name, or leave [pretrain] out"
            problems.append(
                Problem(f"{place}.name", "[pretrain] makes a stage of this name", remedy)
            )
        for name in stage.tasks or ():
            if name not in manifest.tasks:
                found = f"'{clean(name)}' is no task of this manifest"
                problems.append(Problem(f"{place}.tasks", found, suggest(name, manifest.tasks)))
        problems += _length_problems(manifest, stage, place)
    return problems or _share_problems(manifest.stages)


def _length_problems(manifest: Manifest, stage: StageTable, place: str) -> list[Problem]:
    """What is wrong with a stage's length."""
    given = given_keys(stage.train)
    own = [key for key in LENGTH if key in given]
    if own and stage.share is not None:
        found = f"it has a share of [train]'s length, and `{own[0]}` of its own"
        return [Problem(f"{place}.share", found, "keep one of them")]
    target = manifest.train.target
    known = target is not None and target in manifest.tasks
    if not own and known and target not in _trained(manifest, stage):
        found = f"it does not train '{clean(str(target))}', "
        found += "whose updates are the length that [train] gives"
        remedy = "give it a length of its own, such as `train = { steps = 500 }`"
        return [Problem(place, found, remedy)]
    return []


def _share_problems(stages: Sequence[StageTable]) -> list[Problem]:
    """Shares that do not add up to the whole."""
    shares = {n: stage.share for n, stage in enumerate(stages) if stage.share is not None}
    total = sum(shares.values())
    if not shares or abs(total - 1) < 1e-6:
        return []
    terms = " + ".join(f"{share:g}" for share in shares.values())
    remedy = "shares of all stages that have one add up to 1; "
    remedy += "a stage with a length of its own has none"
    found = f"the shares are {terms} = {total:g}"
    return [Problem(f"stages[{max(shares)}].share", found, remedy)]

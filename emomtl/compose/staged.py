"""`[[stages]]`: from one manifest to that of each stage, by a pure function; and the plans of all, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from emomtl.compose.plan import DEFAULT_EPOCHS, Before, Plan
from emomtl.compose.stages import PRETRAIN, needed_tasks, stage_name
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, StageTable, TaskTable, TrainTable
from emomtl.metrics.selection import MEAN

LENGTH = ("epochs", "steps", "target", "target_updates")
"""Keys of [train] that say together how long a run is."""


def staged(manifest: Manifest) -> list[Manifest]:
    """The manifest of each stage: the whole one with what the stage changes; without `[[stages]]` the manifest itself.

    The first stage keeps `[pretrain]` and `[start]`. Of tasks there are those that a stage trains, and those which
    they are made of; what the manifest says of others (objectives, `eval.select`) is left out. A pure function;
    EmomtlError with everything in which the stages do not fit together.
    """
    if not manifest.stages:
        return [manifest]
    problems = _problems(manifest)
    if problems:
        raise EmomtlError(*problems)
    last = len(manifest.stages) - 1
    made = []
    for number, stage in enumerate(manifest.stages):
        name = manifest.name if number == last else stage_name(manifest.name, stage.name)
        own = {"name": name, "stages": (), **_parts(manifest, number)}
        if number > 0:
            own |= {"pretrain": None, "start": None}
        made.append(manifest.model_copy(update=own))
    return made


def compose_staged(manifest: Manifest, compose: Callable[[Manifest, bool], Plan]) -> Plan:
    """The plan of the last stage, with those before it; EmomtlError with what is wrong in any, each thing once.

    `compose` makes the plan of one stage; its second argument says whether it is the last.
    """
    made = staged(manifest)
    problems: list[Problem] = []
    plan: Plan | None = None
    for number, one in enumerate(made):
        stage = manifest.stages[number]
        try:
            composed = compose(one, number == len(made) - 1)
        except EmomtlError as error:
            problems += [_placed(problem, number, stage) for problem in error.problems]
            continue
        if plan is not None:
            before = manifest.stages[number - 1].name
            composed = replace(composed, before=Before(plan, before, stage.start.checkpoint, stage.start.heads))
        plan = composed
    if problems:
        raise EmomtlError(*dict.fromkeys(problems))
    assert plan is not None
    return plan


def _parts(manifest: Manifest, number: int) -> dict[str, Any]:
    """What a stage's manifest has in place of the whole one's parts."""
    stage = manifest.stages[number]
    tasks = _tasks(manifest, stage)
    trained = [name for name, table in tasks.items() if table.trained]
    found: dict[str, Any] = {
        "tasks": tasks,
        "objectives": {name: one for name, one in manifest.objectives.items() if one.task in trained},
        "train": _train(manifest, number),
        "eval": manifest.eval.model_copy(update=_given(stage.eval)),
    }
    task = (manifest.eval.select or MEAN).partition("/")[0]
    if "select" not in _given(stage.eval) and task != MEAN and task in manifest.tasks and task not in trained:
        found["eval"] = found["eval"].model_copy(update={"select": None})
    if stage.changes is not None:
        found["encoder"] = manifest.encoder.model_copy(update={"changes": stage.changes})
    parts = {"sampler": stage.sampler, "weighting": stage.weighting}
    return found | {key: part for key, part in parts.items() if part is not None}


def _given(table: Any) -> dict[str, Any]:
    """The keys that a stage's table was given, which is all that it changes."""
    return {} if table is None else {key: getattr(table, key) for key in table.model_fields_set}


def _tasks(manifest: Manifest, stage: StageTable) -> dict[str, TaskTable]:
    """The tasks that a stage trains, and untrained those which they are made of, in the manifest's order."""
    trained = _trained(manifest, stage)
    needed = set(needed_tasks(manifest.tasks, list(trained)))
    tables = {name: table for name, table in manifest.tasks.items() if name in needed}
    return {name: table.model_copy(update={"trained": name in trained}) for name, table in tables.items()}


def _trained(manifest: Manifest, stage: StageTable) -> tuple[str, ...]:
    if stage.tasks is not None:
        return stage.tasks
    return tuple(name for name, table in manifest.tasks.items() if table.trained)


def _train(manifest: Manifest, number: int) -> TrainTable:
    """[train] of a stage: a length of its own, its share of the whole length, or that length."""
    stage, train = manifest.stages[number], manifest.train
    given = _given(stage.train)
    if set(LENGTH) & set(given):
        return train.model_copy(update={**dict.fromkeys(LENGTH), **given})
    if stage.share is None:
        return train.model_copy(update=given)
    before = sum(one.share or 0.0 for one in manifest.stages[:number])
    for key in ("steps", "target_updates"):
        if (total := getattr(train, key)) is not None:
            given[key] = _part(total, before, stage.share)
            return train.model_copy(update=given)
    return train.model_copy(update={**given, "epochs": (train.epochs or DEFAULT_EPOCHS) * stage.share})


def _part(total: int, before: float, share: float) -> int:
    """A stage's part of a whole number; both ends are rounded, so that the parts of all stages add up to it."""
    return round(total * (before + share)) - round(total * before)


def _problems(manifest: Manifest) -> list[Problem]:
    """All in which the stages do not fit together, or the manifest."""
    problems: list[Problem] = []
    names = [stage.name for stage in manifest.stages]
    for number, stage in enumerate(manifest.stages):
        place = f"stages[{number}]"
        if stage.name in names[:number]:
            problems.append(Problem(f"{place}.name", f"two stages are called '{stage.name}'", "rename one"))
        if stage.name == PRETRAIN and manifest.pretrain is not None:
            remedy = "give the stage another name, or leave [pretrain] out"
            problems.append(Problem(f"{place}.name", "[pretrain] makes a stage of this name", remedy))
        for name in stage.tasks or ():
            if name not in manifest.tasks:
                found = f"'{clean(name)}' is no task of this manifest"
                problems.append(Problem(f"{place}.tasks", found, suggest(name, manifest.tasks)))
        problems += _of_length(manifest, stage, place)
    return problems or _of_shares(manifest.stages)


def _of_length(manifest: Manifest, stage: StageTable, place: str) -> list[Problem]:
    """What is wrong with a stage's length."""
    own = [key for key in LENGTH if key in _given(stage.train)]
    if own:
        if stage.share is None:
            return []
        found = f"it has a share of [train]'s length, and `{own[0]}` of its own"
        return [Problem(f"{place}.share", found, "keep one of them")]
    target = manifest.train.target
    if target is not None and target in manifest.tasks and target not in _trained(manifest, stage):
        found = f"it does not train '{clean(target)}', whose updates are the length that [train] gives"
        return [Problem(place, found, "give it a length of its own, such as `train = { steps = 500 }`")]
    return []


def _of_shares(stages: Sequence[StageTable]) -> list[Problem]:
    """Shares that are not the whole together."""
    given = {number: stage.share for number, stage in enumerate(stages) if stage.share is not None}
    total = sum(given.values())
    if not given or abs(total - 1) < 1e-6:
        return []
    said = " + ".join(f"{share:g}" for share in given.values())
    remedy = "shares of all stages that have one add up to 1; a stage with a length of its own has none"
    return [Problem(f"stages[{max(given)}].share", f"the shares are {said} = {total:g}", remedy)]


def _placed(problem: Problem, number: int, stage: StageTable) -> Problem:
    """A problem of a stage's manifest, at the place in the whole one that it comes from."""
    table, _, rest = problem.place.partition(".")
    key = rest.partition(".")[0]
    if table == "encoder" and key.startswith("changes") and stage.changes is not None:
        return replace(problem, place=f"stages[{number}].{rest}")
    of_stage = {
        "train": key in _given(stage.train),
        "eval": key in _given(stage.eval),
        "sampler": stage.sampler is not None,
        "weighting": stage.weighting is not None,
    }
    if of_stage.get(table, False):
        return replace(problem, place=f"stages[{number}].{problem.place}")
    return problem

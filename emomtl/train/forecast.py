"""What a run will do, before it does: steps, updates, examples, passes and tokens of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emomtl.compose import Plan
from emomtl.contracts.heads import encoder_passes
from emomtl.contracts.sampler import Moment
from emomtl.data.corpus import TaskData
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.manifest import Manifest
from emomtl.manifest.models import WeightSchedule
from emomtl.metrics.selection import selecting_task
from emomtl.train.length import Length, batch_sizes

GRID = 200
"""Points of progress at which the sampler is asked."""

MANY = 16
"""Tasks up to which it is asked at every step of a cycle."""


UNEQUAL = 0.01
"""Two forecasts differ where they are further apart than this part of the greater one."""


@dataclass(frozen=True)
class Lengths:
    """Mean real tokens of a text: of each task's training rows, and of all texts by (corpus, split)."""

    tasks: dict[str, float]
    corpora: dict[tuple[str, str], float]

    @classmethod
    def of(cls, data: TaskData, tokens: Mapping[tuple[str, str], Tokens]) -> Lengths:
        """The means over all rows that were read."""
        tasks = {}
        for task in data.taxonomies:
            corpus = data.corpus(task)
            tasks[task] = float(tokens[corpus.name, "train"].lengths[corpus.rows[task, "train"].index].mean())
        return cls(tasks, {key: float(found.lengths.mean()) for key, found in tokens.items() if len(found.lengths)})


def forecast(plan: Plan, data: TaskData, lengths: Lengths | None = None) -> dict[str, Any]:
    """Expected steps and, per task, rows, labels, updates, share of updates, examples, passes; with lengths also tokens.

    `tokens` of a task are its examples times the mean of its rows; those of the run are what the encoder reads: a text that
    several tasks of a corpus share in a step counts once, unless the encoder answers each task in its own way or a head reads
    tokens. Padding is in neither. The sampler is asked along the run with the sizes alone; one that looks at losses or
    scores will differ.
    """
    manifest, sizes, batches = plan.manifest, data.sizes, batch_sizes(plan.manifest)
    joint = manifest.sampler.per_step == "all"
    length = Length.of(manifest.train, sizes, batches, joint)
    plan.sampler.check_length(length.epochs)
    updates = dict.fromkeys(sizes, 0.0)
    examples = dict.fromkeys(sizes, 0.0)
    read = dict.fromkeys((corpus.name for corpus in data.corpora), 0.0)
    heads = {name: bound.head for name, bound in plan.tasks.items()}
    steps = 0.0
    fixed = {name for name, table in manifest.tasks.items() if table.batch_size} if joint else set()
    for point in range(GRID):
        progress = (point + 0.5) / GRID
        at = round(progress * length.total)
        moment = Moment(at, progress, length.passed(progress), length.passes, sizes, joint=joint, seed=manifest.seed)
        shares = _over_a_cycle(plan, moment)
        here = length.total / GRID
        if length.target is not None and not joint:
            here /= max(shares[length.target], 1e-9)
        steps += here
        free = sum(p for task, p in shares.items() if task not in fixed) or 1.0
        pool = sum(batches[task] for task in sizes if task not in fixed)
        shared: dict[str, float] = {}
        for task, p in shares.items():
            updates[task] += here if joint else here * p
            each = batches[task] if not joint or task in fixed else max(1.0, pool * p / free)
            examples[task] += here * each * (1 if joint else p)
            shared[task] = here * each
        for corpus in data.corpora if joint else ():
            read[corpus.name] += sum(max(shared[task] for task in together) for together in encoder_passes(corpus.tasks, heads))
    total = sum(updates.values())
    tasks = {
        task: {
            "rows": sizes[task],
            "labels": 0 if heads[task].answers == "nothing" else len(heads[task].outputs(data.taxonomies[task])),
            "updates": round(updates[task]),
            "share of updates": updates[task] / total,
            "examples": round(examples[task]),
            "passes": examples[task] / sizes[task],
        }
        for task in sizes
    }
    expected = {"run": manifest.name, "steps": round(steps), "epochs": length.epochs, "tasks": tasks}
    if lengths is None:
        return expected
    for task, facts in tasks.items():
        facts["tokens"] = round(examples[task] * lengths.tasks[task])
    means = {corpus: lengths.corpora[corpus, "train"] for corpus in read}
    whole = sum(read[corpus] * mean for corpus, mean in means.items())
    once = joint and not plan.per_task
    return {**expected, "tokens": round(whole) if once else sum(facts["tokens"] for facts in tasks.values())}


def said_of_tasks(plan: Plan) -> dict[str, list[str]]:
    """What there is to say of tasks that are read in their own way, move along the run, or may leave it, and of their losses.

    The forecast counts as though none left.
    """
    said: dict[str, list[str]] = {}
    for name, bound in plan.tasks.items():
        table, lines = bound.table, []
        if isinstance(table.weight, WeightSchedule):
            line = f"its weight goes from {table.weight.from_:g} to {table.weight.to:g} over the run, in a straight line"
            lines.append(line)
        if table.max_tokens is not None:
            lines.append(f"{table.max_tokens} tokens of its texts are read")
        if twice := [one.name for one in plan.objectives.values() if one.task == name and one.objective.second_pass]:
            lines.append(f"its texts are encoded twice a step, for {', '.join(twice)}")
        if table.patience:
            metric = f"{name}/{bound.head.main_metric}"
            lines.append(f"it is trained until {metric} has not improved in {table.patience} evaluation(s)")
        lines += bound.head.loss_notes(bound.taxonomy)
        if lines:
            said[name] = lines
    return said


def shared_step(manifest: Manifest) -> dict[str, Any]:
    """How a step's examples, those of the largest task where each has its own step, are shared among the processes asked for."""
    assert manifest.devices is not None
    sizes = batch_sizes(manifest).values()
    examples = sum(sizes) if manifest.sampler.per_step == "all" else max(sizes)
    number = manifest.devices
    return {"number": number, "examples": examples, "each": [examples // number, -(-examples // number)]}


def _over_a_cycle(plan: Plan, moment: Moment) -> dict[str, float]:
    """The sampler's mean probabilities over as many steps as there are tasks, so that a cycle counts whole.

    Of many tasks, a sampler that says the same of the first two steps and the last one is not asked for those between.
    """
    from dataclasses import replace

    def given(offset: int) -> Mapping[str, float]:
        return plan.sampler.probabilities(replace(moment, step=moment.step + offset))

    found = dict.fromkeys(moment.sizes, 0.0)
    steps = range(len(found))
    if len(found) > MANY and given(0) == given(1) == given(len(found) - 1):
        steps = range(1)
    for offset in steps:
        answer = given(offset)
        total = sum(answer.values())
        for task in found:
            found[task] += answer.get(task, 0.0) / total / len(steps)
    return found


def over_stages(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The updates and examples of each task in all stages together, from the forecast of each."""
    tasks: dict[str, dict[str, float]] = {}
    for expected in every:
        for task, facts in expected["tasks"].items():
            own = tasks.setdefault(task, {"updates": 0, "examples": 0})
            for what in own:
                own[what] += facts[what]
    return {"tasks": tasks}


def compare(one: Plan, expected: Mapping[str, Any], other: Plan, other_expected: Mapping[str, Any]) -> dict[str, Any]:
    """Whether two runs give a task equally many updates and examples; `warnings` says where they do not.

    The task is `train.target` of either, else the task of `eval.select` of either, else the first that both have.
    EmomtlError where that is no task of both.
    """
    plans = (one, other)
    common = [task for task in one.tasks if task in other.tasks]
    asked = [plan.manifest.train.target for plan in plans if plan.manifest.train.target is not None]
    asked += [task for plan in plans if (task := selecting_task(plan.manifest.eval.select)) is not None]
    asked += common
    task = next((name for name in asked if name in common), None)
    if task is None:
        found = f"{one.manifest.name} has {', '.join(one.tasks)}, and {other.manifest.name} has {', '.join(other.tasks)}"
        raise EmomtlError(Problem("--against", found, "compare manifests that have a task in common"))
    result: dict[str, Any] = {"run": other.manifest.name, "task": task}
    warnings = []
    for what in ("updates", "examples"):
        mine, theirs = expected["tasks"][task][what], other_expected["tasks"][task][what]
        result[what] = [mine, theirs]
        if abs(mine - theirs) > UNEQUAL * max(mine, theirs):
            warnings.append(f"{task} gets {mine:,} {what} in {one.manifest.name} and {theirs:,} in {other.manifest.name}")
    return {**result, "warnings": warnings}

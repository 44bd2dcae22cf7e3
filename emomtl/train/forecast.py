"""What a run will do, before it does: steps, updates, examples, passes and tokens of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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

MANY_TASKS = 16
"""Tasks up to which it is asked at every step of a cycle."""

UNEQUAL = 0.01
"""Two forecasts differ where they are further apart than this part of the greater one."""


@dataclass(frozen=True)
class MeanLengths:
    """Mean real tokens of a text: of each task's training rows, and by (corpus, split)."""

    tasks: dict[str, float]
    corpora: dict[tuple[str, str], float]

    @classmethod
    def of(cls, data: TaskData, tokens: Mapping[tuple[str, str], Tokens]) -> MeanLengths:
        """The means over all rows that were read."""
        tasks = {}
        for task in data.taxonomies:
            corpus = data.corpus(task)
            rows = corpus.rows[task, "train"].index
            tasks[task] = float(tokens[corpus.name, "train"].lengths[rows].mean())
        lengths = {key: of_split.lengths for key, of_split in tokens.items()}
        return cls(tasks, {key: float(n.mean()) for key, n in lengths.items() if len(n)})


class _Counts:
    """Sums over the run: steps, updates and examples by task, and encoded texts by corpus."""

    def __init__(self, plan: Plan, data: TaskData) -> None:
        self.plan, self.data = plan, data
        self.batches = batch_sizes(plan.manifest)
        self.joint = plan.manifest.sampler.per_step == "all"
        self.heads = {name: bound.head for name, bound in plan.tasks.items()}
        tables = plan.manifest.tasks
        self.fixed = {name for name in data.sizes if self.joint and tables[name].batch_size}
        self.steps = 0.0
        self.updates = dict.fromkeys(data.sizes, 0.0)
        self.examples = dict.fromkeys(data.sizes, 0.0)
        self.texts = {corpus.name: 0.0 for corpus in data.corpora}

    def add(self, steps: float, probabilities: Mapping[str, float]) -> None:
        """Add so many steps with these probabilities of the tasks."""
        self.steps += steps
        # Joint steps: tasks that are not fixed share the sum of their batches by probability.
        free = sum(p for task, p in probabilities.items() if task not in self.fixed) or 1.0
        pool = sum(size for task, size in self.batches.items() if task not in self.fixed)
        texts_by_task: dict[str, float] = {}
        for task, p in probabilities.items():
            per_step: float = self.batches[task]
            if self.joint and task not in self.fixed:
                per_step = max(1.0, pool * p / free)
            self.updates[task] += steps if self.joint else steps * p
            self.examples[task] += steps * per_step * (1 if self.joint else p)
            texts_by_task[task] = steps * per_step
        if self.joint:
            for corpus in self.data.corpora:
                for together in encoder_passes(corpus.tasks, self.heads):
                    self.texts[corpus.name] += max(texts_by_task[task] for task in together)


def forecast(plan: Plan, data: TaskData, lengths: MeanLengths | None = None) -> dict[str, Any]:
    """Expected steps and, by task, rows, labels, updates, examples, passes; with lengths tokens.

    `tokens` of a task are its examples times the mean of its rows. Those of the run are what the
    encoder reads: a text that several tasks of a corpus share in a step counts once, unless the
    encoder encodes it for each task or a head reads tokens. Padding is in neither. The sampler is
    asked along the run with the sizes alone; one that looks at losses or scores will differ.
    """
    manifest, sizes = plan.manifest, data.sizes
    counts = _Counts(plan, data)
    length = Length.of(manifest.train, sizes, counts.batches, counts.joint)
    plan.sampler.check_length(length.epochs)
    for point in range(GRID):
        progress = (point + 0.5) / GRID
        moment = Moment(
            round(progress * length.total),
            progress,
            length.passed(progress),
            length.passes,
            sizes,
            joint=counts.joint,
            seed=manifest.seed,
        )
        probabilities = _mean_over_a_cycle(plan, moment)
        steps = length.total / GRID
        if length.target is not None and not counts.joint:
            # The length counts updates of the target, each of which takes 1 / p steps.
            steps /= max(probabilities[length.target], 1e-9)
        counts.add(steps, probabilities)
    tasks: dict[str, dict[str, Any]] = {}
    total_updates = sum(counts.updates.values())
    for task, rows in sizes.items():
        head = counts.heads[task]
        answers_nothing = head.answers == "nothing"
        tasks[task] = {
            "rows": rows,
            "labels": 0 if answers_nothing else len(head.outputs(data.taxonomies[task])),
            "updates": round(counts.updates[task]),
            "share of updates": counts.updates[task] / total_updates,
            "examples": round(counts.examples[task]),
            "passes": counts.examples[task] / rows,
        }
    expected: dict[str, Any] = {"run": manifest.name, "steps": round(counts.steps)}
    expected |= {"epochs": length.epochs, "tasks": tasks}
    if lengths is None:
        return expected
    for task, facts in tasks.items():
        facts["tokens"] = round(counts.examples[task] * lengths.tasks[task])
    if counts.joint and not plan.per_task:
        means = {corpus: lengths.corpora[corpus, "train"] for corpus in counts.texts}
        expected["tokens"] = round(sum(counts.texts[name] * mean for name, mean in means.items()))
    else:
        expected["tokens"] = sum(facts["tokens"] for facts in tasks.values())
    return expected


def _mean_over_a_cycle(plan: Plan, moment: Moment) -> dict[str, float]:
    """The sampler's mean probabilities over as many steps as there are tasks: a whole cycle.

    With many tasks, a sampler that answers the same at the first two steps and at the last one is
    not asked between them.
    """

    def ask(offset: int) -> Mapping[str, float]:
        return plan.sampler.probabilities(replace(moment, step=moment.step + offset))

    steps = range(len(moment.sizes))
    if len(steps) > MANY_TASKS and ask(0) == ask(1) == ask(len(steps) - 1):
        steps = range(1)
    means = dict.fromkeys(moment.sizes, 0.0)
    for offset in steps:
        answer = ask(offset)
        total = sum(answer.values())
        for task in means:
            means[task] += answer.get(task, 0.0) / total / len(steps)
    return means


def task_notes(plan: Plan) -> dict[str, list[str]]:
    """Notes on tasks with options of their own: weight schedules, lengths, patience, losses.

    The forecast counts as though no task left the run early.
    """
    notes: dict[str, list[str]] = {}
    for name, bound in plan.tasks.items():
        table = bound.table
        lines = []
        if isinstance(table.weight, WeightSchedule):
            course = f"from {table.weight.from_:g} to {table.weight.to:g}"
            lines.append(f"its weight goes {course} over the run, in a straight line")
        if table.max_tokens is not None:
            lines.append(f"{table.max_tokens} tokens of its texts are read")
        own = [objective for objective in plan.objectives.values() if objective.task == name]
        second_passes = [bound.name for bound in own if bound.objective.second_pass]
        if second_passes:
            lines.append(f"its texts are encoded twice a step, for {', '.join(second_passes)}")
        if table.patience:
            metric = f"{name}/{bound.head.main_metric}"
            lines.append(
                f"it is trained until {metric} has not improved in {table.patience} evaluation(s)"
            )
        lines += bound.head.loss_notes(bound.taxonomy)
        if lines:
            notes[name] = lines
    return notes


def shared_step(manifest: Manifest) -> dict[str, Any]:
    """How many examples of a step each of the `devices` processes has.

    Of the largest task, where each task has its own step.
    """
    assert manifest.devices is not None
    sizes = batch_sizes(manifest).values()
    examples = sum(sizes) if manifest.sampler.per_step == "all" else max(sizes)
    fewest, more = divmod(examples, manifest.devices)
    most = fewest + 1 if more else fewest
    return {"number": manifest.devices, "examples": examples, "each": [fewest, most]}


def over_stages(forecasts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The updates and examples of each task in all stages together."""
    totals: dict[str, dict[str, float]] = {}
    for expected in forecasts:
        for task, facts in expected["tasks"].items():
            total = totals.setdefault(task, {"updates": 0, "examples": 0})
            total["updates"] += facts["updates"]
            total["examples"] += facts["examples"]
    return {"tasks": totals}


def compare(
    plan: Plan, expected: Mapping[str, Any], other: Plan, other_expected: Mapping[str, Any]
) -> dict[str, Any]:
    """Whether two runs give a task equally many updates and examples; `warnings` where not.

    The task is `train.target` of either, else the task of `eval.select` of either, else the first
    that both have. EmomtlError where they have none in common.
    """
    manifests = [plan.manifest, other.manifest]
    names = [manifest.name for manifest in manifests]
    candidates = [manifest.train.target for manifest in manifests]
    candidates += [selecting_task(manifest.eval.select) for manifest in manifests]
    common = [task for task in plan.tasks if task in other.tasks]
    task = next((task for task in [*candidates, *common] if task in common), None)
    if task is None:
        finding = (
            f"{names[0]} has {', '.join(plan.tasks)}, and {names[1]} has {', '.join(other.tasks)}"
        )
        remedy = "compare manifests that have a task in common"
        raise EmomtlError(Problem("--against", finding, remedy))
    result: dict[str, Any] = {"run": names[1], "task": task}
    warnings = []
    for what in ("updates", "examples"):
        first, second = expected["tasks"][task][what], other_expected["tasks"][task][what]
        result[what] = [first, second]
        if abs(first - second) > UNEQUAL * max(first, second):
            warnings.append(
                f"{task} gets {first:,} {what} in {names[0]} and {second:,} in {names[1]}"
            )
    return {**result, "warnings": warnings}

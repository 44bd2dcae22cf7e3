"""What a plan and its rows must hold before a run begins, and what is worth a note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emomtl.compose import check_ties, objective_problems
from emomtl.contracts.sampler import Moment
from emomtl.contracts.weighting import TaskFacts, Weighting
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.lexicon import not_cut
from emomtl.model.device import choose_device
from emomtl.train.balance import check_balance
from emomtl.train.length import Length, batch_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import Plan
    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.corpus import TaskData
    from emomtl.model.parallel.ranks import Ranks

FEW_ROWS = 10
"""Validation rows below which metrics say little."""

SHOWN_LABELS = 5


def check_processes(plan: Plan, ranks: Ranks) -> None:
    """EmomtlError where the run cannot be trained by this number of processes."""
    ranks.check(plan.manifest.devices)
    if ranks.world_size == 1:
        return
    if plan.manifest.train.clip_by == "task":
        finding = "a process has only its own part of a task's gradient when it would clip it"
        remedy = 'clip_by = "all", or train in one process'
        raise EmomtlError(Problem("train.clip_by", finding, remedy))
    if choose_device(plan.manifest.train.device) == "cuda":
        devices = torch.cuda.device_count()
        if ranks.local_rank >= devices:
            process = f"process {ranks.local_rank + 1} of a machine"
            finding = f"{process} that has {devices} CUDA device(s)"
            remedy = "as many processes a machine as it has devices"
            raise EmomtlError(Problem("devices", finding, remedy))
    names_kept_gradients = type(plan.weighting).kept_gradients is not Weighting.kept_gradients
    if not plan.weighting.sums_losses and not names_kept_gradients:
        weighting = plan.manifest.weighting.use
        finding = f"'{weighting}' fills gradients, and does not say which it keeps beside `.grad`"
        remedy = "train in one process, or let its author write `kept_gradients`"
        raise EmomtlError(Problem("weighting.use", finding, remedy))


def check_rows(plan: Plan, data: TaskData) -> list[str]:
    """Check targets, sizes and options against the rows that were read; returns notes.

    EmomtlError where the run could not be trained. The labels of all tasks are known by now.
    """
    manifest = plan.manifest
    notes = check_targets(plan, data)
    if problems := check_ties(plan.tasks, plan.tasks):
        raise EmomtlError(*problems)
    _check_objectives(plan, data)
    plan.sampler.check(data.sizes)
    joint = manifest.sampler.per_step == "all"
    length = Length.of(manifest.train, data.sizes, batch_sizes(manifest), joint)
    plan.sampler.check_length(length.epochs)
    plan.weighting.check(task_facts(plan, data))
    if manifest.train.clip_by == "task" and not plan.weighting.sums_losses:
        finding = f"'{manifest.weighting.use}' mixes the tasks' gradients itself"
        remedy = 'clip_by = "all", or a weighting that sums losses'
        raise EmomtlError(Problem("train.clip_by", finding, remedy))
    _check_target_is_drawn(plan, data)
    return notes


def task_facts(plan: Plan, data: TaskData) -> dict[str, TaskFacts]:
    """What a weighting knows of the tasks; the scale of their losses is not in it."""
    facts = {}
    for name, bound in plan.tasks.items():
        outputs = len(bound.head.outputs(data.taxonomies[name]))
        facts[name] = TaskFacts(data.sizes[name], outputs, bound.head.answers)
    return facts


def _check_objectives(plan: Plan, data: TaskData) -> None:
    """Check objectives against labels that were learned from rows, and against shared texts."""
    problems: list[Problem] = []
    for bound in plan.objectives.values():
        problems += objective_problems(bound, plan.tasks, data.taxonomies)
        for partner in bound.objective.partners:
            if data.corpus(partner) is not data.corpus(bound.task):
                finding = f"'{partner}' and '{bound.task}' do not read the same texts"
                remedy = "tasks of one corpus: give both the same `source`"
                problems.append(Problem(f"objectives.{bound.name}", finding, remedy))
    if problems:
        raise EmomtlError(*problems)


def _check_target_is_drawn(plan: Plan, data: TaskData) -> None:
    """EmomtlError where the run would never end: its target task is never drawn."""
    target = plan.manifest.train.target
    if target is None:
        return
    for step in range(len(data.sizes)):  # a sampler may take the tasks in turn
        moment = Moment(step, 0.0, 0, 1, data.sizes, seed=plan.manifest.seed)
        if plan.sampler.probabilities(moment).get(target, 0.0):
            return
    finding = f"the sampler never draws '{target}', so a run of its updates would never end"
    remedy = "let the sampler draw it, or give `steps`"
    raise EmomtlError(Problem("train.target", finding, remedy))


def check_targets(plan: Plan, data: TaskData) -> list[str]:
    """Notes on what a run cannot learn or measure.

    EmomtlError for tasks without any target in training or validation.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    batches = batch_sizes(plan.manifest)
    for task, taxonomy in data.taxonomies.items():
        head, targets = plan.tasks[task].head, {}
        for split in ("train", "validation"):
            try:
                rows = data.rows(task, split).targets
            except EmomtlError as error:
                problems += error.problems
                continue
            labelled = rows[head.present(rows)]
            if len(labelled):
                targets[split] = labelled
                continue
            finding = f"none of its {len(rows):,} {split} row(s) has a {_target_word(head)}"
            remedy = "look at the column of labels, or leave the task out"
            problems.append(Problem(f"tasks.{task}", finding, remedy))
        if len(targets) == 2:
            lines = _training_notes(head, taxonomy, targets["train"], batches.get(task, 1))
            if len(targets["validation"]) < FEW_ROWS:
                number = len(targets["validation"])
                lines.append(f"metrics on {number} validation row(s) say little")
            notes += [f"{task}: {line}" for line in lines]
    if problems:
        raise EmomtlError(*problems)
    return [*notes, *_lexicon_notes(plan, data), *check_balance(plan, data)]


def _target_word(head: Head) -> str:
    return "number" if head.answers == "numbers" else "label"


def _training_notes(
    head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any], batch: int
) -> list[str]:
    """Notes on training targets: too few rows, labels without a row, a constant."""
    notes = []
    if len(targets) < batch:
        rows = f"{len(targets)} training row(s) with a {_target_word(head)}"
        notes.append(f"{rows} for a batch of {batch}: a step sees rows several times")
    names = head.outputs(taxonomy)
    if head.answers == "labels":
        notes += _label_notes(names, targets)
    elif head.answers == "numbers" and targets.ndim == 2:
        for name, column in zip(names, targets.T, strict=True):
            known = column[~np.isnan(column)]
            label = clean(name)
            if not len(known):
                notes.append(
                    f"no training row has a number for {label}, so the run cannot learn it"
                )
            elif np.ptp(known) == 0:
                constant = f"every training row has {known[0]:g} for {label}"
                notes.append(f"{constant}: there is nothing to learn")
    return notes


def _label_notes(names: Sequence[str], targets: NDArray[Any]) -> list[str]:
    """Notes on labels that no training row has.

    Targets are positions (n,), or one number a label (n, L) that is above 0 where it holds; others
    are not looked at.
    """
    if targets.ndim == 1:
        rows_by_label = np.bincount(targets.astype(np.int64), minlength=len(names))
    elif targets.shape[1:] == (len(names),):
        rows_by_label = (targets > 0).sum(axis=0)
    else:
        return []
    missing = [name for name, rows in zip(names, rows_by_label, strict=True) if not rows]
    notes = []
    if missing:
        notes.append(f"no training row has {_listed(missing)}, so the run cannot learn it")
    if len(missing) == len(names) - 1:
        (only,) = set(names) - set(missing)
        notes.append(
            f"{only} is the only label of the training rows: there is nothing to tell apart"
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name, 40) for name in names[:SHOWN_LABELS])
    more = len(names) - SHOWN_LABELS
    return f"{shown} and {more} more labels" if more > 0 else shown


def _lexicon_notes(plan: Plan, data: TaskData) -> list[str]:
    """Notes on texts that a lexicon does not cut into words."""
    notes = []
    for bound in plan.features.values():
        if bound.use == "lexicon":
            texts = data.corpus(bound.of).splits["train"].texts
            if line := not_cut(texts):
                notes.append(f"features.{bound.name}: {line}")
    return notes

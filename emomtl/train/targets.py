"""What the targets of a run's rows allow: nothing at all is refused, what cannot be learned or measured is said beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.lexicon import not_cut
from emomtl.train.balance import check_balance
from emomtl.train.length import batch_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import Plan
    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.corpus import TaskData

FEW = 10
"""Validation rows below which a figure is said to mean little."""

SHOWN = 5


def check_targets(plan: Plan, data: TaskData) -> list[str]:
    """Lines on what a run cannot learn or measure; EmomtlError for tasks without any target in training or validation."""
    problems: list[Problem] = []
    lines: list[str] = []
    batches = batch_sizes(plan.manifest)
    for task, taxonomy in data.taxonomies.items():
        head, targets = plan.tasks[task].head, {}
        for split in ("train", "validation"):
            try:
                rows = data.rows(task, split).targets
            except EmomtlError as error:
                problems += error.problems
                continue
            targets[split] = rows[head.present(rows)]
            if not len(targets[split]):
                found = f"none of its {len(rows):,} {split} row(s) has a {_what(head)}"
                problems.append(Problem(f"tasks.{task}", found, "look at the column of labels, or leave the task out"))
        if len(targets) == 2 and all(map(len, targets.values())):
            odd = [*_train(head, taxonomy, targets["train"], batches.get(task, 1)), *_validation(targets["validation"])]
            lines += [f"{task}: {line}" for line in odd]
    if problems:
        raise EmomtlError(*problems)
    return [*lines, *_words(plan, data), *check_balance(plan, data)]


def _words(plan: Plan, data: TaskData) -> list[str]:
    """What is odd about the words that features count."""
    lines = []
    for bound in plan.features.values():
        texts = data.corpus(bound.of).splits["train"].texts
        if bound.use == "lexicon" and (line := not_cut(texts)):
            lines.append(f"features.{bound.name}: {line}")
    return lines


def _what(head: Head) -> str:
    return "number" if head.answers == "numbers" else "label"


def _train(head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any], batch: int) -> list[str]:
    """What is odd about the targets that are trained on: too few rows, labels that no row has, one label, one number."""
    lines = []
    if len(targets) < batch:
        lines.append(
            f"{len(targets)} training row(s) with a {_what(head)} for a batch of {batch}: a step sees rows several times"
        )
    names = head.outputs(taxonomy)
    if head.answers == "labels":
        held = _held(targets, len(names))
        lacking = [name for name, n in zip(names, held, strict=True) if not n] if held else []
        if lacking:
            lines.append(f"no training row has {_listed(lacking)}, so the run cannot learn it")
        if len(lacking) == len(names) - 1:
            (only,) = set(names) - set(lacking)
            lines.append(f"{only} is the only label of the training rows: there is nothing to tell apart")
    elif head.answers == "numbers" and targets.ndim == 2:
        for name, column in zip(names, targets.T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known):
                lines.append(f"no training row has a number for {clean(name)}, so the run cannot learn it")
            elif np.ptp(known) == 0:
                lines.append(f"every training row has {known[0]:g} for {clean(name)}: there is nothing to learn")
    return lines


def _held(targets: NDArray[Any], labels: int) -> list[int]:
    """Rows by label, for a position (n,) or one number a label (n, L), above 0 where it holds; nothing for other shapes."""
    if targets.ndim == 1:
        return [int(n) for n in np.bincount(targets.astype(np.int64), minlength=labels)]
    return [int(n) for n in (targets > 0).sum(axis=0)] if targets.shape[1:] == (labels,) else []


def _validation(targets: NDArray[Any]) -> list[str]:
    return [f"figures on {len(targets)} validation row(s) say little"] if len(targets) < FEW else []


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name, 40) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more labels" if len(names) > SHOWN else "")

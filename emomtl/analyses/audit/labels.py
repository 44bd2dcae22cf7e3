"""Labels in figures: rows of each in each split, rare ones, those that no training row has, and
imbalance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.audit.findings import Finding, Report
from emomtl.contracts.label_text import near_spellings
from emomtl.contracts.sources import SPLITS
from emomtl.errors import clean

if TYPE_CHECKING:
    from emomtl.analyses.audit.rows import Answers, Group

RARE_TRAIN = 100
"""Training rows below which a label counts as rare."""

RARE_SCORED = 30
"""Rows of validation or test below which a label counts as rare: a recall on 30 rows is known to
within 18 points only (95%, at a recall of one half), and macro_f1 weighs each label alike.
"""

IMBALANCE = 20
"""Times that the commonest label may be as common as the rarest before it is noted."""


def labels(groups: Sequence[Group], report: Report) -> None:
    """Add a table of label counts or of numbers for each task, and what is odd in the labels."""
    for group in groups:
        for answers in group.answers:
            if answers.form == "numbers":
                _add_numbers(answers, report)
                continue
            counts = {split: answers.holds(split).sum(axis=0).tolist() for split in group.rows}
            _add_counts(answers, counts, report)
            report.findings += _odd(answers, counts)


def _add_counts(answers: Answers, counts: Mapping[str, Sequence[int]], report: Report) -> None:
    """Rows of each label in each split, and their share."""
    splits = list(counts)
    rows: list[list[Any]] = []
    for place, name in enumerate(answers.names):
        numbers = [counts[split][place] for split in splits]
        totals = [max(1, len(answers.targets[split])) for split in splits]
        shares = [f"{100 * n / total:.1f}%" for n, total in zip(numbers, totals, strict=True)]
        rows.append([name, *numbers, *shares])
    unknown = [int((~answers.present[split]).sum()) for split in splits]
    if any(unknown):
        rows.append(["(no label)", *unknown, *(["-"] * len(splits))])
    columns = ["label", *splits, *(f"of {split}" for split in splits)]
    report.table(f"Labels of {answers.task}", columns, rows)


def _add_numbers(answers: Answers, report: Report) -> None:
    """Mean, standard deviation and range of each number in each split."""
    rows: list[list[Any]] = []
    for place, name in enumerate(answers.names):
        for split, targets in answers.targets.items():
            known = targets[~np.isnan(targets[:, place]), place].astype(np.float64)
            if len(known):
                numbers = (known.mean(), known.std(), known.min(), known.max())
                rows.append([name, split, len(known), *map(float, numbers)])
    columns = ["number", "split", "rows", "mean", "standard deviation", "least", "greatest"]
    report.table(f"Numbers of {answers.task}", columns, rows)


def _odd(answers: Answers, counts: Mapping[str, Sequence[int]]) -> list[Finding]:
    """Rare labels by split, labels that are scored and not trained, and imbalance."""
    found = []
    for split in (split for split in SPLITS if split in counts):
        least = RARE_TRAIN if split == "train" else RARE_SCORED
        rare = sorted(
            (n, name) for n, name in zip(counts[split], answers.names, strict=True) if 0 < n < least
        )
        if rare:
            named = ", ".join(f"{name} {n}" for n, name in rare)
            said = f"{split} has fewer than {least} rows of {len(rare)} label(s): {named}"
            found.append(Finding("rare-labels", answers.task, said, len(rare)))
    train = counts.get("train", [0] * len(answers.names))
    scored = [
        sum(counts[split][place] for split in counts if split != "train")
        for place in range(len(answers.names))
    ]
    absent = [name for name, n, k in zip(answers.names, train, scored, strict=True) if not n and k]
    if absent:
        said = f"scored, and in no training row: {', '.join(absent)}"
        found.append(Finding("untrained-labels", answers.task, said, len(absent)))
    found += _spellings(answers, counts)
    some = [n for n in train if n]
    if some and max(some) > IMBALANCE * min(some):
        often, seldom = answers.names[train.index(max(some))], answers.names[train.index(min(some))]
        said = f"in train {often} is {max(some) / min(some):,.0f} times as common as {seldom}"
        found.append(Finding("imbalance", answers.task, said, 1))
    return found


def _spellings(answers: Answers, counts: Mapping[str, Sequence[int]]) -> list[Finding]:
    """Labels that are probably one label, with the rows of each over all splits."""
    rows = {
        name: sum(of_split[place] for of_split in counts.values())
        for place, name in enumerate(answers.names)
    }
    groups = near_spellings(answers.names)
    if not groups:
        return []
    said = "; ".join(
        ", ".join(f"{clean(name, 40)} {rows[name]:,}" for name in group) for group in groups
    )
    found = f"{sum(map(len, groups))} labels differ only in spelling: {said}"
    return [Finding("label-spellings", answers.task, found, len(groups))]

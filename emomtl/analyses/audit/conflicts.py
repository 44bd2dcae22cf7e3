"""Conflicting labels: one text, and different labels in different rows of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.audit.duplicates import EXAMPLES
from emomtl.analyses.audit.findings import Example, Finding, Report
from emomtl.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from emomtl.analyses.audit.rows import Answers, Group


def conflicts(groups: Sequence[Group], report: Report) -> None:
    """Add a table of the texts with different labels in each task, and a finding for each task that
    has some.
    """
    table: list[list[Any]] = []
    for group in groups:
        for answers in group.answers:
            everywhere, exact, train = (
                _differing(group, answers, *how)
                for how in (("keys",), ("exact",), ("exact", "train"))
            )
            table.append([answers.task, len(everywhere), len(exact), len(train)])
            if everywhere:
                what = "numbers" if answers.form == "numbers" else "labels"
                said = (
                    f"{len(everywhere):,} texts have different {what} in different rows;"
                    f" {len(exact):,} of them are the same in every character, {len(train):,} of"
                    " these within train"
                )
                examples = [_shown(group, answers, places) for places in everywhere[:EXAMPLES]]
                report.findings.append(
                    Finding("conflicting-labels", answers.task, said, len(everywhere), examples)
                )
    about = (
        "Texts that are equal in NFKC, lower case and single spaces; identical: in every character."
    )
    report.table(
        "Texts with different labels",
        ["task", "texts", "identical", "identical in train"],
        table,
        about,
    )


def _differing(
    group: Group, answers: Answers, key: str, only: str = ""
) -> list[list[tuple[str, int]]]:
    """The rows (split, position) of each text whose known labels differ, texts in the order of
    their first row.
    """
    splits = [split for split in group.rows if split == only or not only]
    known = {split: np.flatnonzero(answers.present[split]) for split in splits}
    if not sum(map(len, known.values())):
        return []
    keys = np.concatenate([getattr(group.rows[split], key)[rows] for split, rows in known.items()])
    labels = np.concatenate(
        [_label_keys(answers.targets[split][rows]) for split, rows in known.items()]
    )
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) != 0]))
    ranked = labels[order]
    differ = np.minimum.reduceat(ranked, begins) != np.maximum.reduceat(ranked, begins)
    ends = np.append(begins[1:], len(order))
    places = (
        [(split, row) for split, rows in known.items() for row in rows.tolist()]
        if differ.any()
        else []
    )
    found = [
        order[begin:end].tolist()
        for begin, end in zip(begins[differ].tolist(), ends[differ].tolist(), strict=True)
    ]
    return [[places[row] for row in rows] for rows in sorted(found)]


def _label_keys(targets: NDArray[Any]) -> NDArray[np.uint64]:
    """A number of each row's target (n,), equal where targets are (but for one pair in 2^64)."""
    columns = (
        np.ascontiguousarray(targets.reshape(len(targets), -1)).astype(np.float64).view(np.uint64)
    )
    drawn = generator("labels").integers(2**63, size=columns.shape[1])
    factors: NDArray[np.uint64] = np.asarray(drawn, np.uint64) | np.uint64(1)
    joined = np.zeros(len(targets), np.uint64)
    for place in range(columns.shape[1]):
        mixed = (columns[:, place] ^ (columns[:, place] >> np.uint64(32))) * factors[place]
        joined += mixed ^ (mixed >> np.uint64(29))
    return joined


def _shown(group: Group, answers: Answers, places: Sequence[tuple[str, int]]) -> Example:
    """The rows of one text with their labels, at most EXAMPLES of them."""
    some = places[:EXAMPLES]
    said = " / ".join(answers.said(split, row) for split, row in some)
    return Example(
        tuple(group.place(split, row) for split, row in some), said, group.shown(*some[0])
    )

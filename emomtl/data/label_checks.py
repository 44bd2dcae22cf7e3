"""What is odd about the labels of a task, once all its rows are read: empty cells, spellings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.label_reader import EMPTY_ASSUMED
from emomtl.contracts.label_text import clean_label, near_spellings
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem, clean

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head
    from emomtl.data.reading import ReadRows

FEW_EMPTY = 0.05
"""The share of empty label cells of a split up to which they count as unknown without a word."""

MOST_GROUPS, SEPARATORS = 8, (",", ";", "/", "|", "+", "&")


def names_in(label: Any) -> tuple[str, ...]:
    """The names in a label value as `read` gives it; numbers and missing labels have none."""
    if isinstance(label, str):
        return (label,)
    if isinstance(label, (list, tuple, Mapping)):
        return tuple(name for name in label if isinstance(name, str))
    return ()


def label_counts(labels: Sequence[Any]) -> dict[str, int]:
    """How many rows have each label; numbers count nowhere, shares of a label from one half on."""
    counts: dict[str, int] = {}
    for label in labels:
        for name in names_in(label):
            if not isinstance(label, Mapping) or (label[name] or 0.0) >= 0.5:
                counts[name] = counts.get(name, 0) + 1
    return counts


def learned_names(labels: Sequence[Any]) -> list[str]:
    """The labels of training rows, sorted, in their clean spelling, whatever their share."""
    return sorted({clean_label(name) for label in labels for name in names_in(label)})


def with_unseen(taxonomy: Taxonomy, labels: Sequence[Any], task: str, sensitive: bool) -> Taxonomy:
    """The taxonomy, followed by the labels of these rows that it lacks.

    Refused where it has groupings, which cannot hold them, and of a sensitive task, whose rows are
    not quoted.
    """
    unseen: dict[str, None] = {}
    for label in labels:
        for name in names_in(label):
            try:
                taxonomy.index(name)
            except EmomtlError:
                unseen[clean_label(name)] = None
    if unseen and sensitive:
        found = f"{len(unseen)} label(s) are none of the task's (not shown: it is sensitive)"
        raise EmomtlError(Problem(f"tasks.{task}", found, "mend the rows"))
    if unseen and taxonomy.groupings:
        first = clean(next(iter(unseen)), 40)
        found = f"the label '{first}' is none of the task's, and belongs to no grouping of them"
        raise EmomtlError(
            Problem(
                f"tasks.{task}",
                found,
                "mend the rows: unseen labels count only where there are no groupings",
            )
        )
    return Taxonomy([*taxonomy.labels, *unseen], taxonomy.groupings)


def check_empty(name: str, head: Head, rows: Mapping[str, ReadRows]) -> list[Problem]:
    """Problems for splits of which more than a few label cells are empty without an option for it.

    A split without any label is not ambiguous: it was published without labels.
    """
    problems = []
    means = '"unknown" leaves such rows out of loss and score, "error" refuses them'
    if head.answers == "labels":
        means = f'"none" means that no label holds (for a multi-label head), {means}'
    for split, part in rows.items():
        empty, total = part.assumed.get(EMPTY_ASSUMED, 0), len(part.labels)
        if part.groups is None and FEW_EMPTY * total < empty < total:
            found = f"{empty:,} of {total:,} {split} rows have an empty label cell"
            found += ", and nothing says what that means"
            problems.append(Problem(f"tasks.{name}.options.empty", found, means))
    return problems


def spelling_notes(rows: Mapping[str, ReadRows]) -> list[str]:
    """Lines on labels that differ only in spelling, and on those that look like several."""
    counts: Counter[str] = Counter()
    for part in rows.values():
        counts.update(clean_label(name) for label in part.labels for name in names_in(label))
    lines = []
    groups = near_spellings(sorted(counts))
    for group in groups[:MOST_GROUPS]:
        said = ", ".join(f"'{clean(label, 40)}' ({counts[label]:,})" for label in group)
        lines.append(f"labels that differ only in spelling: {said}; `options.fold_case`, or `options.label_names`, joins them")
    if len(groups) > MOST_GROUPS:
        lines.append(f"{len(groups) - MOST_GROUPS} more groups of labels that differ only in spelling")
    joined = [(label, sign) for label in sorted(counts) for sign in SEPARATORS if _is_several(label, sign, counts)]
    if joined:
        label, sign = joined[0]
        rows_with = sum(counts[label] for label, _ in joined)
        found = f"{len(joined)} label(s) in {rows_with:,} row(s) look like several"
        found += f", such as '{clean(label, 40)}'"
        lines.append(f'{found}; `options.separator = "{sign}"` reads them as several')
    return lines


def _is_several(label: str, sign: str, counts: Mapping[str, int]) -> bool:
    """Whether each part of a label, cut at a sign, is a label of its own."""
    parts = [clean_label(part) for part in label.split(sign)]
    return len(parts) > 1 and all(part in counts for part in parts)

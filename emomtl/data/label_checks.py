"""What is odd about a task's labels, once all its rows are read: empty cells, spellings."""

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
"""The share of empty label cells of a split up to which they silently count as unknown."""

MOST_GROUPS = 8
"""Groups of near spellings that notes list."""

SEPARATORS = (",", ";", "/", "|", "+", "&")


def names_in(label: Any) -> tuple[str, ...]:
    """The names in a label as `read` gives it; numbers and missing labels have none."""
    if isinstance(label, str):
        return (label,)
    if isinstance(label, (list, tuple, Mapping)):
        return tuple(name for name in label if isinstance(name, str))
    return ()


def label_counts(labels: Sequence[Any]) -> dict[str, int]:
    """How many rows have each label; a label with a share counts from one half on."""
    counts: Counter[str] = Counter()
    for label in labels:
        for name in names_in(label):
            if not isinstance(label, Mapping) or (label[name] or 0.0) >= 0.5:
                counts[name] += 1
    return dict(counts)


def learned_names(labels: Sequence[Any]) -> list[str]:
    """The labels of training rows, sorted, in their clean spelling, whatever their share."""
    return sorted({clean_label(name) for label in labels for name in names_in(label)})


def with_unseen(taxonomy: Taxonomy, labels: Sequence[Any], task: str, sensitive: bool) -> Taxonomy:
    """The taxonomy, followed by the labels of these rows that it lacks.

    EmomtlError where it has groupings, which cannot hold them, and for a sensitive task, whose rows
    are not quoted.
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
        remedy = "mend the rows: unseen labels count only where there are no groupings"
        raise EmomtlError(Problem(f"tasks.{task}", found, remedy))
    return Taxonomy([*taxonomy.labels, *unseen], taxonomy.groupings)


def empty_label_problems(name: str, head: Head, rows: Mapping[str, ReadRows]) -> list[Problem]:
    """Problems for splits with more than a few empty label cells and no option for them.

    A split without any label is not ambiguous: it was published without labels.
    """
    remedy = '"unknown" leaves such rows out of loss and score, "error" refuses them'
    if head.answers == "labels":
        remedy = f'"none" means that no label holds (for a multi-label head), {remedy}'
    problems = []
    for split, part in rows.items():
        empty, total = part.assumed.get(EMPTY_ASSUMED, 0), len(part.labels)
        if part.groups is None and FEW_EMPTY * total < empty < total:
            found = f"{empty:,} of {total:,} {split} rows have an empty label cell"
            found += ", and nothing says what that means"
            problems.append(Problem(f"tasks.{name}.options.empty", found, remedy))
    return problems


def spelling_notes(rows: Mapping[str, ReadRows]) -> list[str]:
    """Notes on labels that differ only in spelling, and on those that look like several."""
    counts: Counter[str] = Counter()
    for part in rows.values():
        for label in part.labels:
            counts.update(map(clean_label, names_in(label)))
    notes = []
    groups = near_spellings(sorted(counts))
    for group in groups[:MOST_GROUPS]:
        spellings = ", ".join(f"'{clean(label, 40)}' ({counts[label]:,})" for label in group)
        remedy = "`options.fold_case`, or `options.label_names`, joins them"
        notes.append(f"labels that differ only in spelling: {spellings}; {remedy}")
    if len(groups) > MOST_GROUPS:
        more = len(groups) - MOST_GROUPS
        notes.append(f"{more} more groups of labels that differ only in spelling")
    joined = []
    for label in sorted(counts):
        joined += [(label, sign) for sign in SEPARATORS if _is_several(label, sign, counts)]
    if joined:
        label, sign = joined[0]
        row_count = sum(counts[label] for label, _ in joined)
        note = f"{len(joined)} label(s) in {row_count:,} row(s) look like several, "
        note += f"such as '{clean(label, 40)}'"
        notes.append(f'{note}; `options.separator = "{sign}"` reads them as several')
    return notes


def _is_several(label: str, sign: str, counts: Mapping[str, int]) -> bool:
    """Whether each part of a label, cut at a sign, is a label of its own."""
    parts = [clean_label(part) for part in label.split(sign)]
    return len(parts) > 1 and all(part in counts for part in parts)

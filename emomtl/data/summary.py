"""Tables about a task's rows: splits, labels with their parents, and labels per example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import SPLITS
from emomtl.data.label_checks import label_counts
from emomtl.data.locate import locate
from emomtl.data.reading import ReadRows, Tally, read_rows
from emomtl.lexicon import not_cut

if TYPE_CHECKING:
    from emomtl.contracts.task import Task

Table = dict[str, Any]
"""`title`, `columns` and `rows`, as `emomtl tasks` prints them."""


def summarise(task: Task, source: str | None, folder: Path) -> dict[str, Any]:
    """`tables` and `notes` about a task's rows; rows that do not read are counted, never shown."""
    located = locate(task.layouts, source, folder, task.name)
    tally = Tally("skip", task.sensitive)
    rows = read_rows({task.name: task}, located, SPLITS, tally)[task.name]
    tables = [_splits(f"{task.name}: {located.layout}", rows)]
    if task.head.answers == "labels":
        tables += _labels(task, rows)
    notes = list(located.notes)
    notes += [f"{count:,} {what}" for what, count in tally.counted(task.name).items()]
    for part in list(rows.values())[:1]:
        if line := not_cut(part.texts):
            notes.append(line)
    return {"tables": tables, "notes": [f"{task.name}: {note}" for note in notes]}


def _splits(title: str, rows: Mapping[str, ReadRows]) -> Table:
    """Rows of each split, those without a label, and words of a text."""
    counted, body = "rows", []
    for split, part in rows.items():
        if len(set(part.numbers)) < len(part.numbers):
            counted = "examples"  # a row reads as several
        unlabelled = sum(label is None for label in part.labels)
        body.append([split, len(part.texts), unlabelled, _mean_words(part.texts)])
    return {"title": title, "columns": ["split", counted, "unlabelled", "mean words"], "rows": body}


def _labels(task: Task, rows: Mapping[str, ReadRows]) -> list[Table]:
    """How often each label comes in each split, and how many labels an example has."""
    counts = {split: label_counts(part.labels) for split, part in rows.items()}
    groupings = task.taxonomy.groupings if task.taxonomy is not None else ()
    if task.taxonomy is not None:
        names = list(task.taxonomy.names)
    else:
        names = sorted({name for by_name in counts.values() for name in by_name})
    if not names:
        return []
    parents = [f"{grouping.name} parent" for grouping in groupings]
    body = []
    for name in names:
        row: list[Any] = [name, *(grouping.parents[name] for grouping in groupings)]
        body.append(row + [counts[split].get(name, 0) for split in rows])
    labels = {"title": "labels", "columns": ["label", *parents, *rows], "rows": body}
    per_example = {split: Counter(map(_how_many, part.labels)) for split, part in rows.items()}
    numbers = {number for counter in per_example.values() for number in counter}
    least = 0 if 0 in numbers else 1
    body = []
    for number in range(least, max(numbers, default=0) + 1):
        body.append([number, *(per_example[split][number] for split in rows)])
    return [labels, {"title": "labels per example", "columns": ["labels", *rows], "rows": body}]


def _how_many(label: Any) -> int:
    """The labels that an example has, -1 where unknown; of shares those from one half on."""
    if label is None:
        return -1
    if isinstance(label, Mapping):
        return sum(share is not None and float(share) >= 0.5 for share in label.values())
    return 1 if isinstance(label, (str, float, int)) else len(label)


def _mean_words(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / max(1, len(texts))

"""The rows of a task in figures: splits, labels, parents, labels per example (the slides' table 1)."""

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


def summarise(task: Task, source: str | None, folder: Path) -> dict[str, Any]:
    """Tables of a task's rows by split; rows that do not read are counted, never shown."""
    located = locate(task.layouts, source, folder, task.name)
    bad = Tally("skip", task.sensitive)
    rows = read_rows({task.name: task}, located, SPLITS, bad)[task.name]
    splits = list(rows)
    sizes = [[split, len(rows[split].texts), _unlabelled(rows[split].labels), _words(rows[split].texts)] for split in splits]
    columns = ["split", _counted(rows), "unlabelled", "mean words"]
    tables: list[dict[str, Any]] = [{"title": f"{task.name}: {located.layout}", "columns": columns, "rows": sizes}]
    counts = {split: label_counts(rows[split].labels) for split in splits}
    names = task.taxonomy.names if task.taxonomy is not None else sorted({name for found in counts.values() for name in found})
    if task.head.answers != "labels":
        names = ()
    if names:
        groupings = task.taxonomy.groupings if task.taxonomy is not None else ()
        columns = ["label", *(f"{grouping.name} parent" for grouping in groupings), *splits]
        body = [
            [name, *(g.parents[name] for g in groupings), *(counts[split].get(name, 0) for split in splits)] for name in names
        ]
        tables.append({"title": "labels", "columns": columns, "rows": body})
        per_row = {split: Counter(_how_many(label) for label in rows[split].labels if label is not None) for split in splits}
        most = max((n for found in per_row.values() for n in found), default=0)
        least = 0 if any(found[0] for found in per_row.values()) else 1
        body = [[n, *(per_row[split][n] for split in splits)] for n in range(least, most + 1)]
        tables.append({"title": "labels per example", "columns": ["labels", *splits], "rows": body})
    notes = [*located.notes, *(f"{n:,} {what}" for what, n in bad.counted(task.name).items())]
    if splits and (line := not_cut(rows[splits[0]].texts)):
        notes.append(line)
    return {"tables": tables, "notes": [f"{task.name}: {note}" for note in notes]}


def _counted(rows: Mapping[str, ReadRows]) -> str:
    """What the sizes are sizes of: rows, or examples where a row reads as several."""
    return "rows" if all(len(set(part.numbers)) == len(part.numbers) for part in rows.values()) else "examples"


def _unlabelled(labels: list[Any]) -> int:
    return sum(label is None for label in labels)


def _how_many(label: Any) -> int:
    """The labels that a row has; of a label with values those from 0.5 on."""
    if isinstance(label, Mapping):
        return sum(value is not None and float(value) >= 0.5 for value in label.values())
    return 1 if isinstance(label, (str, float, int)) else len(label)


def _words(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / max(1, len(texts))

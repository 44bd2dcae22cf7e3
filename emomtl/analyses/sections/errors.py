"""The worst answers of a checkpoint, task by task, with their texts behind a click where the task is not sensitive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emomtl.analyses.sections.severity import Severities, label_severities, number_severities
from emomtl.contracts.analysis import Cell, Table
from emomtl.data.locate import said_place
from emomtl.errors import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.analyses.sections.reading import Read
    from emomtl.compose import BoundTask

LONGEST = 600
"""Characters of a text that the page holds."""

SHOWN = 5
"""Labels of a row that the table names, the most probable first."""

ABOUT = (
    "Severity is distance times confidence. Distance: how coarse a grouping the answer leaves, and how far it lies in valence, "
    "arousal and dominance where the labels have them. Confidence: how little probability the truth got. For numbers: the error "
    "in standard deviations of the truth. Press a row's last cell for its text."
)


def error_tables(read: Read, name: str, most: int) -> Iterator[Table]:
    """A table for each task of a run that answers with labels or numbers: its `most` worst rows on the split, the worst first."""
    for task, (targets, probabilities) in read.answers.items():
        bound = read.trained.plan.tasks[task]
        corpus = read.data.corpus(task)
        rows = corpus.rows[task, read.split]
        index = rows.index[bound.head.present(rows.targets)]
        held = corpus.splits[read.split]
        if bound.head.answers == "labels" and bound.taxonomy is not None:
            columns, severity, cells = _of_labels(bound, targets, probabilities)
        elif bound.head.answers == "numbers":
            columns, severity, cells = _of_numbers(bound, targets, probabilities)
        else:
            continue
        worst = [int(row) for row in (-severity).argsort(kind="stable")[:most] if severity[row] > 0]
        places = [said_place(read.split, int(held.numbers[index[row]])) for row in worst]
        lines = tuple((place, *cells(row)) for place, row in zip(places, worst, strict=True))
        wrong = int((severity > 0).sum())
        notes = [f"The worst {len(worst):,} of {wrong:,} rows that are not answered right, of {len(severity):,}."]
        title, heads = f"{task} ({name})", ("row", *columns)
        if corpus.sensitive or bound.task.sensitive:
            notes.append("The task is sensitive: its texts are not in this page.")
            yield Table(title, heads, lines, tuple(notes))
        else:
            texts = tuple(_text(held.texts[i], held.pairs[i] if held.pairs else "") for i in index[worst])
            yield Table(title, heads, lines, tuple(notes), texts)


def _text(text: str, pair: str) -> str:
    """A row's text with its pair, on one line; what cannot be seen is spelt out."""
    return clean(f"{text} ‖ {pair}" if pair else text, LONGEST)


def _of_labels(bound: BoundTask, targets: NDArray[Any], probabilities: NDArray[np.float64]) -> Any:
    """Columns, severities (n,), and what gives a row's cells, for a task with labels."""
    import numpy as np

    taxonomy = bound.taxonomy
    assert taxonomy is not None
    names = taxonomy.names
    decoded = bound.head.decode(probabilities, names)
    answered = np.array([[name in dict(row) for name in names] for row in decoded], bool).reshape(len(decoded), len(names))
    found = label_severities(taxonomy, targets, probabilities, answered)
    columns = ("truth", "answer", *(("leaves",) if found.levels else ()), "distance", "confidence", "severity")

    def cells(row: int) -> tuple[Cell, ...]:
        true = [int(targets[row])] if targets.ndim == 1 else np.flatnonzero(np.nan_to_num(targets[row]) >= 0.5).tolist()
        truth = _said([(names[i], float(probabilities[row, i])) for i in true]) or "none"
        nearest = int(probabilities[row].argmax())
        answer = _said(decoded[row]) or f"none (nearest: {_said([(names[nearest], float(probabilities[row, nearest]))])})"
        left = (_left(found, row),) if found.levels else ()
        figures = (found.distance[row], found.confidence[row], found.severity[row])
        return (truth, answer, *left, *(round(float(figure), 3) for figure in figures))

    return columns, found.severity, cells


def _left(found: Severities, row: int) -> str:
    """The coarsest grouping that the worst wrong label of a row leaves."""
    return found.levels[found.left[row]] if found.left[row] >= 0 else "no grouping"


def _said(labels: list[tuple[str, float]]) -> str:
    """Labels with their probabilities, at most `SHOWN`."""
    ordered = sorted(labels, key=lambda pair: -pair[1])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(f"{label} {p:.2f}" for label, p in ordered[:SHOWN]) + more


def _of_numbers(bound: BoundTask, targets: NDArray[Any], values: NDArray[np.float64]) -> Any:
    """Columns, severities (n,), and what gives a row's cells, for a task with numbers."""
    import numpy as np

    names = bound.head.outputs(None)
    targets = targets.reshape(len(targets), -1)
    severity = number_severities(targets, values)

    def cells(row: int) -> tuple[Cell, ...]:
        known = [place for place in range(len(names)) if not np.isnan(targets[row, place])]
        truth = ", ".join(f"{names[place]} {targets[row, place]:.3g}" for place in known)
        answer = ", ".join(f"{names[place]} {values[row, place]:.3g}" for place in known)
        return (truth, answer, round(float(severity[row]), 3))

    return ("truth", "answer", "severity"), severity, cells

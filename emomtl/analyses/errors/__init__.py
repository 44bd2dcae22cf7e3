"""`emomtl analyse errors`: the worst predictions of a checkpoint, task by task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from emomtl.analyses.runs import CHECKPOINT, LOOK_AT_TEST, SPLIT, option
from emomtl.contracts.analysis import Analysis, Cell, Result, Table
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.errors.row_severity import Severities
    from emomtl.analyses.runs import RunFolder, RunFolders
    from emomtl.compose import BoundTask

LONGEST = 600
"""Characters of a text that a page holds."""

SHOWN = 5
"""Labels of a row that the table names, the most probable first."""

ABOUT = (
    "Severity is distance times confidence. Distance: how coarse a grouping the prediction leaves, "
    "and how far it lies in valence, arousal and dominance where the labels have them. Confidence: "
    "how little probability the truth got. For numbers: the error in standard deviations of the "
    "truth. Press a row's last cell for its text."
)

Judged = tuple[tuple[str, ...], "NDArray[np.float64]", Callable[[int], tuple[Cell, ...]]]
"""Columns, severities (n,), and what gives the cells of a row."""


@dataclass(frozen=True)
class ErrorsAnalysis(Analysis):
    """The worst predictions of a checkpoint, task by task; their texts are in the HTML page alone,
    and those of sensitive tasks nowhere.
    """

    split: str = option("validation", SPLIT)
    checkpoint: str = option("best", CHECKPOINT)
    most: Annotated[int, Ge(0)] = option(20, "Worst rows of each task.")

    report_options: ClassVar = {}

    def run(self, runs: RunFolders) -> Result:
        """A table for each task of each run that answers with labels or numbers."""
        tables = [table for run in runs if self.most for table in self._tables(run)]
        warning = f" {LOOK_AT_TEST}" if self.split == "test" else ""
        about = ABOUT + warning if tables else ""
        return Result(f"Worst errors on {self.split}", tables, about=about)

    def _tables(self, run: RunFolder) -> list[Table]:
        """The worst rows of each task, the worst first."""
        from emomtl.analyses.runs import predict_split
        from emomtl.data.located import row_place

        run.runs.say(f"{run.folder}: predicting {self.split}")
        trained = run.trained(self.checkpoint)
        data = run.read(trained, self.split)
        tables = []
        for task, (targets, values) in predict_split(trained, data, self.split).items():
            bound, corpus = trained.plan.tasks[task], data.corpus(task)
            rows, texts = corpus.rows[task, self.split], corpus.splits[self.split]
            index = rows.index[bound.head.present(rows.targets)]
            if bound.head.answers == "labels" and bound.taxonomy is not None:
                columns, severity, cells = _of_labels(bound, targets, values)
            elif bound.head.answers == "numbers":
                columns, severity, cells = _of_numbers(bound, targets, values)
            else:
                continue
            order = (-severity).argsort(kind="stable")[: self.most]
            worst = [int(row) for row in order if severity[row] > 0]
            lines = []
            for row in worst:
                place = row_place(self.split, int(texts.numbers[index[row]]))
                lines.append((place, *cells(row)))
            wrong = int((severity > 0).sum())
            notes = [
                f"The worst {len(worst):,} of {wrong:,} rows that are not answered right, of"
                f" {len(severity):,}."
            ]
            shown: list[str] = []
            if corpus.sensitive or bound.task.sensitive:
                notes.append("The task is sensitive: its texts are not in this page.")
            else:
                pairs = texts.pairs or [""] * len(texts)
                shown = [_text(texts.texts[i], pairs[i]) for i in index[worst]]
            title = f"{task} ({run.name})"
            table = Table(title, ("row", *columns), tuple(lines), tuple(notes), tuple(shown))
            tables.append(table)
        return tables


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `errors`."""
    return {"errors": ErrorsAnalysis}


def _text(text: str, pair: str) -> str:
    """A row's text with its pair, on one line; control characters are escaped."""
    return clean(f"{text} ‖ {pair}" if pair else text, LONGEST)


def _of_labels(
    bound: BoundTask, targets: NDArray[Any], probabilities: NDArray[np.float64]
) -> Judged:
    """Judge predictions of labels."""
    from emomtl.analyses.errors.row_severity import label_severities

    taxonomy = bound.taxonomy
    assert taxonomy is not None
    names = taxonomy.names
    decoded = bound.head.decode(probabilities, names)
    predicted = np.zeros((len(decoded), len(names)), bool)
    for row, labels in enumerate(decoded):
        for name, _ in labels:
            predicted[row, taxonomy.index(name)] = True
    severities = label_severities(taxonomy, targets, probabilities, predicted)
    leaves = ("leaves",) if severities.levels else ()
    columns = ("truth", "answer", *leaves, "distance", "confidence", "severity")

    def true_labels(row: int) -> list[int]:
        if targets.ndim == 1:
            return [int(targets[row])]
        return [int(label) for label in np.flatnonzero(np.nan_to_num(targets[row]) >= 0.5)]

    def cells(row: int) -> tuple[Cell, ...]:
        truth = _labels([(names[i], probabilities[row, i]) for i in true_labels(row)]) or "none"
        answer = _labels(decoded[row])
        if not answer:
            nearest = int(probabilities[row].argmax())
            answer = f"none (nearest: {_labels([(names[nearest], probabilities[row, nearest])])})"
        left = (_left(severities, row),) if severities.levels else ()
        numbers = (severities.distance, severities.confidence, severities.severity)
        return (truth, answer, *left, *(round(float(each[row]), 3) for each in numbers))

    return columns, severities.severity, cells


def _left(severities: Severities, row: int) -> str:
    """The coarsest grouping that the worst wrong label of a row leaves."""
    place = severities.left[row]
    return severities.levels[place] if place >= 0 else "no grouping"


def _labels(labels: list[tuple[str, float]]) -> str:
    """Labels with their probabilities, at most `SHOWN`."""
    ordered = sorted(labels, key=lambda pair: -pair[1])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(f"{label} {p:.2f}" for label, p in ordered[:SHOWN]) + more


def _of_numbers(bound: BoundTask, targets: NDArray[Any], values: NDArray[np.float64]) -> Judged:
    """Judge predictions of numbers."""
    from emomtl.analyses.errors.row_severity import number_severities

    names = bound.head.outputs(None)
    targets = targets.reshape(len(targets), -1)
    severity = number_severities(targets, values)

    def cells(row: int) -> tuple[Cell, ...]:
        known = np.flatnonzero(~np.isnan(targets[row]))
        truth = ", ".join(f"{names[place]} {targets[row, place]:.3g}" for place in known)
        answer = ", ".join(f"{names[place]} {values[row, place]:.3g}" for place in known)
        return (truth, answer, round(float(severity[row]), 3))

    return ("truth", "answer", "severity"), severity, cells

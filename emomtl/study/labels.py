"""Where a difference lies: the F1 of every label against the reference's, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import LEVEL, MOST_UNDEFINED, bootstrap_label_f1
from emomtl.metrics.intervals import estimate
from emomtl.metrics.predictions import TaskPredictions, label_indicators
from emomtl.run import Run, is_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.study.planning import StudyPlan
    from emomtl.study.result import RowResult, StudyResult

LabelF1 = tuple["NDArray[Any]", "NDArray[Any]"]
"""The F1 of each label (L,), and on every bootstrap sample (number, L)."""

COLUMNS = (
    *("label", "row", "support", "F1 of the reference", "F1"),
    *("difference", "interval low", "interval high"),
)
FEW_ROWS = 20
"""With fewer test rows of a label, every single row moves its F1 by a large step."""


def label_table(plan: StudyPlan, result: StudyResult) -> list[Table]:
    """One table of every compared row by label, the most frequent labels first.

    None where no predictions were kept, or the head has no F1 of labels. Intervals hold for another
    draw of seeds and of test rows, and are not corrected for the number of labels.
    """
    labels = _labels(plan)
    first = next(iter(result.reference.predictions.values()), None)
    if not labels or first is None:
        return []
    support = label_indicators(first)[0].sum(axis=0).astype(int).tolist()
    by_row: dict[str, dict[int, LabelF1]] = {}
    cells: list[tuple[Cell, ...]] = []
    for row in result.rows:
        is_alike = row.scoring.name == result.reference.scoring.name
        if row.comparison is None or row.against is None or not is_alike:
            continue
        for name in (row.name, row.against):
            if name not in by_row:
                by_row[name] = _by_seed(result.by_name[name], first)
        f1 = _f1(by_row[row.name], by_row[row.against], len(first))
        for label, count, numbers in zip(labels, support, f1, strict=False):
            cells.append((label, row.name, count, *numbers))
    if not cells:
        return []
    cells.sort(key=lambda line: (-int(line[2] or 0), str(line[0])))
    by_chance = (1 - LEVEL) * len(labels)
    notes = [
        (
            f"the intervals ({LEVEL:.0%}) hold for another draw of seeds and of test rows; they are"
            f" not corrected for the number of labels: of {len(labels)} labels without any"
            f" difference, {by_chance:.0f} or so are expected beside 0"
        ),
        (
            f"an interval is undefined where more than {MOST_UNDEFINED:.0%} of the bootstrap"
            " samples neither have the label nor answer it, or where nothing varies"
        ),
    ]
    few = [label for label, n in zip(labels, support, strict=False) if n < FEW_ROWS]
    if few:
        found = f"fewer than {FEW_ROWS} test rows have the label {', '.join(few)}"
        notes.append(WarningNote(f"{found}: its F1 says little"))
    against = "the row of its comparison" if result.several_references else result.reference.name
    title = f"F1 of each label on test, against {against}"
    return [Table(title, COLUMNS, tuple(cells), tuple(notes))]


def _by_seed(row: RowResult, first: TaskPredictions) -> dict[int, LabelF1]:
    """The F1 of labels by seed, of predictions of the same test rows as `first`."""
    by_seed = {}
    for seed, predictions in row.predictions.items():
        if predictions.same_rows_as(first):
            by_seed[seed] = bootstrap_label_f1(*label_indicators(predictions))
    return by_seed


def _f1(
    own: Mapping[int, LabelF1], reference: Mapping[int, LabelF1], rows: int
) -> list[tuple[float | None, ...]]:
    """For each label the reference's mean F1, the own mean, their difference and its interval."""
    import numpy as np

    seeds = [seed for seed in own if seed in reference]
    if not seeds:
        return []
    values, draws = [], []
    for seed in seeds:
        values.append((own[seed][0], reference[seed][0]))
        draws.append(own[seed][1] - reference[seed][1])
    own_f1, reference_f1 = np.stack(values, axis=1)
    differences, sampled = own_f1 - reference_f1, np.stack(draws)
    lines: list[tuple[float | None, ...]] = []
    for label in range(own_f1.shape[1]):
        difference = estimate(
            differences[:, label].tolist(), list(sampled[:, :, label]), rows, bounds=(-1.0, 1.0)
        )
        means = _mean(reference_f1[:, label].tolist()), _mean(own_f1[:, label].tolist())
        lines.append((*means, difference.value, difference.low, difference.high))
    return lines


def _mean(values: Sequence[float]) -> float | None:
    mean = sum(values) / len(values)
    return None if math.isnan(mean) else mean


def _labels(plan: StudyPlan) -> list[str]:
    """The target's labels in their order, as a run of the reference scored them with an F1 each."""
    scoring = plan.scoring[plan.file.reference]
    if scoring.head.answers != "labels":
        return []
    for planned in plan.of(plan.file.reference):
        if is_run(planned.folder):
            for entry in Run.open(planned.folder).scores():
                tables = entry["tasks"].get(scoring.target, {}).get("tables", {})
                rows = tables.get("", [])
                if rows and all("f1" in row for row in rows):
                    return [str(row["label"]) for row in rows]
    return []

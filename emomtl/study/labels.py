"""Where a difference lies: the F1 of every label against the reference's, with intervals, from answers that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import LEVEL, MOST_UNDEFINED, bootstrap_label_f1
from emomtl.metrics.intervals import estimate
from emomtl.metrics.predictions import label_indicators
from emomtl.run import Run, is_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.study.planning import StudyPlan
    from emomtl.study.result import RowResult, StudyResult

Sampled = tuple["NDArray[Any]", "NDArray[Any]"]
"""The F1 of each label (L,), and on every bootstrap sample (number, L)."""

COLUMNS = ("label", "row", "support", "F1 of the reference", "F1", "difference", "interval low", "interval high")
TINY = 20
"""Below so many test rows with a label, the F1 of that label moves by a large step with every answer."""


def label_table(plan: StudyPlan, result: StudyResult) -> list[Table]:
    """One table of every row with answers, by label, labels with most test rows first; none where no answers can be compared.

    An interval holds for another draw of seeds and of test rows, and is not corrected for the number of labels.
    """
    names, named = _names(plan), {row.name: row for row in result.rows}
    first = next(iter(result.reference.answers.values()), None)
    if names is None or first is None:
        return []
    support = [int(n) for n in label_indicators(first)[0].sum(axis=0)[: len(names)]]
    found: dict[str, dict[int, Sampled]] = {}
    rows: list[tuple[Cell, ...]] = []
    for row in result.rows:
        if row.comparison is not None and row.against is not None and row.scoring.name == result.reference.scoring.name:
            for one in (row, named[row.against]):
                if one.name not in found:
                    found[one.name] = {
                        seed: bootstrap_label_f1(*label_indicators(answers))
                        for seed, answers in one.answers.items()
                        if answers.same_rows_as(first)
                    }
            rows += _of_row(row, found[row.name], found[row.against], names, support, len(first))
    if not rows:
        return []
    rows.sort(key=lambda cells: (-int(cells[2] or 0), str(cells[0])))
    notes = [
        f"the intervals ({LEVEL:.0%}) hold for another draw of seeds and of test rows; they are not corrected for the number of "
        f"labels: of {len(names)} labels without any difference, {(1 - LEVEL) * len(names):.0f} or so are expected beside 0"
    ]
    notes.append(
        f"an interval is undefined where more than {MOST_UNDEFINED:.0%} of the bootstrap samples neither "
        "have the label nor answer it, or where nothing varies"
    )
    if few := [name for name, n in zip(names, support, strict=True) if n < TINY]:
        notes.append(WarningNote(f"fewer than {TINY} test rows have the label {', '.join(few)}: its F1 says little"))
    against = "the row of its comparison" if result.several_references else result.reference.name
    return [Table(f"F1 of each label on test, against {against}", COLUMNS, tuple(rows), tuple(notes))]


def _of_row(
    row: RowResult, own: dict[int, Sampled], kept: dict[int, Sampled], names: list[str], support: list[int], size: int
) -> list[tuple[Cell, ...]]:
    """The cells of a row of the study, a label each: its F1 by seed (`own`) against those of another row (`kept`)."""
    common: list[int] = [seed for seed in own if seed in kept]
    cells: list[tuple[Cell, ...]] = []
    if not common:
        return cells
    for place, name in enumerate(names):
        theirs = [float(kept[seed][0][place]) for seed in common]
        ours = [float(own[seed][0][place]) for seed in common]
        sampled = [own[seed][1][:, place] - kept[seed][1][:, place] for seed in common]
        told: tuple[Cell, ...] = (name, row.name, support[place], _mean(theirs), _mean(ours))
        differences = [one - other for one, other in zip(ours, theirs, strict=True)]
        found = estimate(differences, sampled, size, bounds=(-1.0, 1.0))
        cells.append((*told, found.value, found.low, found.high))
    return cells


def _mean(values: list[float]) -> float | None:
    mean = sum(values) / len(values)
    return None if mean != mean else mean


def _names(plan: StudyPlan) -> list[str] | None:
    """The target's labels in the order of its answers, as its runs scored them; None of a head without an F1 a label."""
    scoring = plan.scoring[plan.file.reference]
    for planned in plan.of(plan.file.reference) if scoring.head.answers == "labels" else ():
        for entry in Run.open(planned.folder).scores() if is_run(planned.folder) else ():
            rows = entry["tasks"].get(scoring.target, {}).get("tables", {}).get("", [])
            if rows and all("f1" in row for row in rows):
                return [str(row["label"]) for row in rows]
    return None

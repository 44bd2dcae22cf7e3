"""Training rows of a run whose text is scored: what a figure on validation or test may owe to memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Table, WarningNote

if TYPE_CHECKING:
    from emomtl.inference.trained import TrainedRun

ABOUT = (
    "Texts count as the same in whatever case and spacing. `emomtl data audit` shows them, and those that are nearly the same."
)


def leak_table(trained: TrainedRun, name: str, sources: Mapping[str, str]) -> Table:
    """A row for each task of a run: its training rows whose text stands in validation or test of any of the run's tasks.

    A run that left such rows out (`data.drop_leaks`) has no row, and a note says so.
    """
    if trained.plan.manifest.data.drop_leaks:
        return Table(f"Leaks ({name})", ("task",), (), ("the run left out every training row whose text is scored",))
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for task, found in trained.leaks(sources).items():
        where = ", ".join(f"{other} {split} {number:,}" for (other, split), number in found.where.items())
        rows.append((task, found.rows, where))
        if found.rows:
            notes.append(WarningNote(f"{name}, {task}: {found}"))
    return Table(f"Leaks ({name})", ("task", "training rows whose text is scored", "where it stands"), tuple(rows), tuple(notes))

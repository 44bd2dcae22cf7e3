"""`emomtl analyse leaks`: training rows of runs whose text is scored in validation or test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from emomtl.contracts.analysis import Analysis, Cell, Result, Table, WarningNote
from emomtl.contracts.hookspecs import hookimpl

if TYPE_CHECKING:
    from emomtl.analyses.runs import RunFolder, RunFolders

COLUMNS = ("task", "training rows whose text is scored", "where it stands")


@dataclass(frozen=True)
class LeaksAnalysis(Analysis):
    """Training rows of runs whose text also stands in validation or test of any of their tasks."""

    report_options: ClassVar = {}

    def run(self, runs: RunFolders) -> Result:
        """A table for each run, with a row for each of its tasks."""
        return Result(
            "Leaks",
            [self._table(run) for run in runs],
            about=(
                "Texts count as the same in whatever case and spacing. `emomtl data audit` shows "
                "them, and those that are nearly the same."
            ),
        )

    def _table(self, run: RunFolder) -> Table:
        run.runs.say(f"{run.folder}: leaks")
        opened = run.opened()
        title = f"Leaks ({run.name})"
        if opened.plan.manifest.data.drop_leaks:
            note = "the run left out every training row whose text is scored"
            return Table(title, COLUMNS, (), (note,))
        rows: list[tuple[Cell, ...]] = []
        notes = []
        for task, leaks in opened.leaks(run.sources).items():
            places = leaks.where.items()
            where = [f"{other} {split} {count:,}" for (other, split), count in places]
            rows.append((task, leaks.rows, ", ".join(where)))
            if leaks.rows:
                notes.append(WarningNote(f"{run.name}, {task}: {leaks}"))
        return Table(title, COLUMNS, tuple(rows), tuple(notes))


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `leaks`."""
    return {"leaks": LeaksAnalysis}

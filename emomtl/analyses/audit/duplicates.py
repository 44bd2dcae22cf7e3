"""Texts that stand several times: within a split, and across splits and tasks, where they are
leaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.audit.findings import Example, Finding, Report
from emomtl.data.leaks import SCORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.audit.rows import Group, Rows

EXAMPLES = 5

KIND = {
    ("train", "test"): "test-in-train",
    ("train", "validation"): "validation-in-train",
    ("validation", "test"): "test-in-validation",
}


@dataclass(frozen=True)
class Cell:
    """The rows of one group in one split, with the number of each row's text among all distinct
    texts (n,).
    """

    group: Group
    split: str
    ids: NDArray[np.int64]

    @property
    def rows(self) -> Rows:
        """The rows."""
        return self.group.rows[self.split]

    @property
    def name(self) -> str:
        """The group and the split."""
        return f"{self.group.name} {self.split}"

    def first(self) -> dict[int, int]:
        """For each distinct text here its first row."""
        found, rows = np.unique(self.ids, return_index=True)
        return dict(zip(found.tolist(), rows.tolist(), strict=True))

    def present(self, size: int) -> NDArray[np.bool_]:
        """For each of the run's `size` distinct texts, whether it stands here."""
        found = np.zeros(size, bool)
        found[self.ids] = True
        return found


class Index:
    """All distinct texts of a run (equal in NFKC, lower case and single spaces), and the cells in
    which they stand.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        """Number the texts of all groups and splits."""
        places = [(group, split) for group in groups for split in group.rows]
        keys = np.concatenate([group.rows[split].keys for group, split in places])
        _, self._first, ids = np.unique(keys, return_index=True, return_inverse=True)
        ends = np.cumsum([len(group.rows[split]) for group, split in places])
        parts = np.split(ids.astype(np.int64), ends[:-1])
        self.cells = [
            Cell(group, split, part) for (group, split), part in zip(places, parts, strict=True)
        ]
        self._ends = ends

    def __len__(self) -> int:
        return len(self._first)

    def texts(self) -> Iterator[str]:
        """Each distinct text once, in the order of its number."""
        cells = np.searchsorted(self._ends, self._first, side="right")
        begins = self._ends - [len(cell.ids) for cell in self.cells]
        for cell, place in zip(cells.tolist(), (self._first - begins[cells]).tolist(), strict=True):
            yield self.cells[cell].rows.whole(place)


def duplicates(index: Index, report: Report) -> None:
    """Add what stands twice: a table of rows and distinct texts by split, and one of texts in two
    splits; all leaks.
    """
    rows = []
    for cell in index.cells:
        n, distinct, same = len(cell.ids), len(np.unique(cell.ids)), len(np.unique(cell.rows.exact))
        rows.append([cell.group.name, cell.split, n, distinct, n - distinct, n - same])
        if n > distinct:
            said = (
                f"{n - distinct:,} of {n:,} {cell.split} rows repeat the text of another"
                f" ({n - same:,} in every character)"
            )
            report.findings.append(Finding("duplicates", cell.group.name, said, n - distinct))
    about = (
        "A repeated row has the text of an earlier one in NFKC, lower case and single spaces;"
        " identical: in every character."
    )
    columns = ["tasks", "split", "rows", "distinct texts", "repeated rows", "identical"]
    report.table("Rows and distinct texts", columns, rows, about)
    shared = [found for one, other in meetings(index) if (found := _shared(one, other, report))]
    about = "Rows of the second split whose text stands in the first one too."
    report.table(
        "Texts in two splits", ["rows of", "that stand in", "rows", "identical"], shared, about
    )


def meetings(index: Index) -> Iterator[tuple[Cell, Cell]]:
    """Pairs of cells that must not share texts: any train or validation with any split that is
    scored after it.
    """
    order = ("train", *SCORED)
    for one in index.cells:
        for other in index.cells:
            if order.index(one.split) < order.index(other.split):
                yield one, other


def _shared(one: Cell, other: Cell, report: Report) -> list[Any]:
    """A row of the table of shared texts, with its finding; empty where two cells share nothing."""
    here = np.flatnonzero(np.isin(other.ids, one.ids))
    if not len(here):
        return []
    same = int(np.isin(other.rows.exact, one.rows.exact).sum())
    said = (
        f"{len(here):,} of {len(other.ids):,} rows of {other.name} stand in {one.name} ({same:,} in"
        " every character)"
    )
    first = one.first()
    examples = [
        Example(
            (
                other.group.place(other.split, row, True),
                one.group.place(one.split, first[int(other.ids[row])], True),
            ),
            text=None if one.group.sensitive else other.group.shown(other.split, row),
        )
        for row in here[:EXAMPLES].tolist()
    ]
    kind = KIND[one.split, other.split]
    report.findings.append(Finding(kind, about_both(one, other), said, len(here), examples))
    return [other.name, one.name, len(here), same]


def about_both(one: Cell, other: Cell) -> str:
    """The tasks of two cells, once where they are the same."""
    return one.group.name if one.group is other.group else f"{other.group.name}, {one.group.name}"

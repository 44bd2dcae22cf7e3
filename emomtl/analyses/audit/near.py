"""Near duplicates in a run: scored rows that nearly repeat a training row, and texts of a split
that nearly repeat each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emomtl.analyses.audit.duplicates import EXAMPLES, about_both, meetings
from emomtl.analyses.audit.findings import Example, Finding, Report
from emomtl.analyses.audit.minhash import LEAST, THRESHOLD, near_duplicates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.audit.duplicates import Cell, Index

KIND = {"test": "near-test-in-train", "validation": "near-validation-in-train"}


def near(index: Index, report: Report) -> None:
    """Add near duplicates between train and what is scored, and inside each split; equal texts are
    not counted again.
    """
    pairs, similar = near_duplicates(index.texts())
    links = Links(
        np.concatenate([pairs[:, 0], pairs[:, 1]]),
        np.concatenate([pairs[:, 1], pairs[:, 0]]),
        np.tile(similar, 2),
    )
    rows = []
    for one, other in [pair for pair in meetings(index) if pair[0].split == "train"]:
        here = np.isin(other.ids, links.between(one, other, len(index)).right) & ~np.isin(
            other.ids, one.ids
        )
        if here.any():
            said = (
                f"{int(here.sum()):,} of {len(other.ids):,} rows of {other.name} nearly repeat a"
                f" text of {one.name}"
            )
            examples = links.between(one, other, len(index)).examples(
                one, other, np.flatnonzero(here)
            )
            rows.append([other.name, one.name, int(here.sum())])
            report.findings.append(
                Finding(KIND[other.split], about_both(one, other), said, int(here.sum()), examples)
            )
    for cell in index.cells:
        inside = links.between(cell, cell, len(index))
        here = np.isin(cell.ids, inside.right)
        if here.any():
            said = (
                f"{int(here.sum()):,} of {len(cell.ids):,} {cell.split} rows nearly repeat another"
                " text of the split"
            )
            examples = inside.examples(cell, cell, np.flatnonzero(here))
            rows.append([cell.name, cell.name, int(here.sum())])
            report.findings.append(
                Finding("near-duplicates", cell.group.name, said, int(here.sum()), examples)
            )
    about = (
        f"Rows with a text of Jaccard similarity {THRESHOLD} or more (sets of character 4-grams of"
        " their words) in the other split, and no equal one; every pair is verified. Texts with"
        f" fewer than {LEAST} characters of words are not compared."
    )
    report.table("Near duplicates", ["rows of", "that nearly stand in", "rows"], rows, about)


class Links:
    """Near duplicates as links from `left` to `right` distinct texts (m,), each pair in both
    directions, with similarities.
    """

    def __init__(
        self, left: NDArray[np.int64], right: NDArray[np.int64], similar: NDArray[np.float64]
    ) -> None:
        self.left, self.right, self.similar = left, right, similar

    def between(self, one: Cell, other: Cell, size: int) -> Links:
        """The links from texts that stand in one cell to texts that stand in another."""
        chosen = one.present(size)[self.left] & other.present(size)[self.right]
        return Links(self.left[chosen], self.right[chosen], self.similar[chosen])

    def examples(self, one: Cell, other: Cell, rows: NDArray[np.int64]) -> list[Example]:
        """The first of these rows of `other`, each beside its most similar text in `one`."""
        found, first = [], one.first()
        for row in rows[:EXAMPLES].tolist():
            here = np.flatnonzero(self.right == other.ids[row])
            best = here[np.argmax(self.similar[here])]
            mate = first[int(self.left[best])]
            texts = other.group.shown(other.split, row), one.group.shown(one.split, mate)
            text = None if texts[0] is None or texts[1] is None else f"{texts[0]} | {texts[1]}"
            places = (
                other.group.place(other.split, row, True),
                one.group.place(one.split, mate, True),
            )
            found.append(Example(places, f"similarity {self.similar[best]:.2f}", text))
        return found

"""Which labels are predicted for which, and which occur together in targets and in predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.answers.kept import MANY, THRESHOLD, Kept, Level
from emomtl.contracts.analysis import Cell, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTHING = "(no answer)"
"""The column of rows that miss a label and have no wrong label predicted."""

LONGEST = 40
"""Rows of a table of pairs."""

DRAWN = 64
"""Labels up to which a matrix is shown; of more only pairs are."""

BOUNDED = f"only among the {MANY} labels with the most rows"


@dataclass(frozen=True)
class Confusion:
    """Counts (L, M) of rows with the row's label and the column's predicted; `support` (L,)."""

    names: tuple[str, ...]
    answered: tuple[str, ...]
    counts: NDArray[Any]
    support: NDArray[Any]

    @property
    def shares(self) -> NDArray[Any]:
        """The counts by support, NaN for a label that no row has."""
        support = self.support[:, None]
        return np.where(support > 0, self.counts / np.maximum(support, 1), np.nan)


def confusion(level: Level) -> Confusion:
    """The confusion matrix.

    Of several labels a row: on the diagonal the rows in which the label was found; elsewhere the
    rows that miss the row's label and have the column's, wrongly, predicted; last the rows that
    miss it and have nothing wrong predicted. A row may be in several columns.
    """
    truth, predicted, known = (flags.astype(np.float32) for flags in level.flags())
    support = truth.sum(axis=0).astype(np.int64)
    if level.exclusive:
        return Confusion(level.names, level.names, (truth.T @ predicted).astype(np.int64), support)
    missed, wrong = truth * (1 - predicted), predicted * (1 - truth) * known
    counts = missed.T @ wrong
    counts[np.diag_indices(len(support))] = (truth * predicted).sum(axis=0)
    silent = missed.T @ (1 - wrong.max(axis=1, initial=0.0))
    counts = np.column_stack([counts, silent]).astype(np.int64)
    return Confusion(level.names, (*level.names, NOTHING), counts, support)


def confusion_table(kept: Kept, level: Level) -> Table:
    """The matrix of single labels, where a person can read it; else the most frequent confusions.

    Of more than `MANY` labels, several a row, only the `MANY` with the most rows are looked at.
    """
    title = f"Confusion: {kept.named(level)} on {kept.where}"
    if level.exclusive and len(level.names) <= DRAWN:
        matrix = confusion(level)
        lines = zip(matrix.names, matrix.counts.tolist(), strict=True)
        rows = tuple((name, *counts) for name, counts in lines)
        note = "rows: the true label; columns: the answer; numbers of texts"
        return Table(title, ("true label", *matrix.answered), rows, (note,))
    bounded = not level.exclusive and len(level.names) > MANY
    level = level.most(MANY) if bounded else level
    pairs, sizes, support = _confused(level)
    shown: list[tuple[Cell, ...]] = []
    for (i, j), size in zip(pairs[:LONGEST].tolist(), sizes[:LONGEST], strict=True):
        share = float(size / support[i])
        shown.append((level.names[i], level.names[j], int(size), int(support[i]), share))
    notes = ["texts that have the true label and are answered with the wrong one"]
    if not level.exclusive:
        missed = "texts that miss the true label and have the wrong one answered"
        notes = [f"{missed} (from {THRESHOLD} on); a text may be in several"]
    if len(pairs) > LONGEST:
        notes.append(f"{len(pairs) - LONGEST} rarer pairs are left out")
    if bounded:
        notes.append(BOUNDED)
    columns = ("true label, missed", "wrong label, answered", "texts", "support")
    return Table(title, (*columns, "share of support"), tuple(shown), tuple(notes))


def _confused(level: Level) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pairs of labels (n, 2), true and wrongly predicted, the most frequent first.

    With their rows (n,), and the rows of each label (L,). For single labels no matrix is made, as
    there may be thousands of labels.
    """
    labels = len(level.names)
    if level.exclusive:
        truth = level.answers.targets.astype(np.int64)
        predicted = level.answers.probabilities.argmax(axis=1)
        wrong = (truth != predicted) & (truth >= 0)
        codes, sizes = np.unique(truth[wrong] * labels + predicted[wrong], return_counts=True)
        pairs = np.column_stack(np.divmod(codes, labels))
        support = np.bincount(truth[truth >= 0], minlength=labels)
    else:
        matrix = confusion(level)
        counts, support = matrix.counts[:, :labels].copy(), matrix.support
        np.fill_diagonal(counts, 0)
        pairs = np.argwhere(counts)
        sizes = counts[tuple(pairs.T)]
    order = _order(pairs, sizes, level.names)
    return pairs[order], sizes[order], support


def _order(pairs: NDArray[Any], sizes: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """The order of pairs of labels (n, 2): the largest first, and equal ones by their names."""
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return np.lexsort((rank[pairs[:, 1]], rank[pairs[:, 0]], -sizes))


@dataclass(frozen=True)
class Together:
    """Jaccard indices (L, L) of labels in targets and in predictions, NaN where no row has either.

    `rows` (L, L) are the rows with both in the targets.
    """

    names: tuple[str, ...]
    rows: NDArray[Any]
    targets: NDArray[Any]
    answers: NDArray[Any]


def together(level: Level) -> Together | None:
    """How often labels occur together; None where no row has two labels."""
    truth, predicted, _ = level.flags()
    if level.exclusive or not (truth.sum(axis=1) > 1).any():
        return None
    rows, targets = _jaccard(truth)
    return Together(level.names, rows, targets, _jaccard(predicted)[1])


def _jaccard(flags: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows that have both of two labels, and the same by the rows that have either: |A∩B|/|A∪B|."""
    each = flags.astype(np.float32)
    both = each.T @ each
    either = both.diagonal()[:, None] + both.diagonal()[None, :] - both
    return both.astype(np.int64), np.where(either > 0, both / np.maximum(either, 1), np.nan)


def together_table(kept: Kept, level: Level, found: Together) -> Table:
    """The pairs of labels whose co-occurrence differs most between targets and predictions."""
    gaps = np.nan_to_num(found.answers - found.targets)
    pairs = np.argwhere(np.triu((found.rows > 0) | (found.answers > 0), 1))
    pairs = pairs[_order(pairs, np.abs(gaps[tuple(pairs.T)]), found.names)]
    shown: list[tuple[Cell, ...]] = []
    for i, j in pairs[:LONGEST]:
        values = (found.targets[i, j], found.answers[i, j])
        cells = [
            None if np.isnan(value) else float(value) for value in (*values, np.diff(values)[0])
        ]
        shown.append((found.names[i], found.names[j], int(found.rows[i, j]), *cells))
    notes = [
        "Jaccard: texts with both labels by texts with either; "
        f"answered: from a probability of {THRESHOLD} on"
    ]
    if len(pairs) > LONGEST:
        notes.append(f"{len(pairs) - LONGEST} pairs that differ less are left out")
    if len(level.names) > MANY:
        notes.append(BOUNDED)
    columns = ("label", "other label", "texts with both", "in targets", "in answers", "difference")
    title = f"Labels that occur together: {kept.named(level)} on {kept.where}"
    return Table(title, columns, tuple(shown), tuple(notes))

"""Which labels are answered for which, and which occur together in targets and in answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.answers.kept import MANY, THRESHOLD, Kept, Level
from emomtl.contracts.analysis import Cell, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTHING = "(no answer)"
"""The column of rows that miss a label and answer no wrong one: those without a wrong answer, many of them without any."""
LONGEST = 40
"""Rows of a table of pairs."""
DRAWN = 64
"""Labels up to which a matrix is shown: of more only pairs are, as nobody reads that many rows and columns."""


@dataclass(frozen=True)
class Confusion:
    """Counts (L, M): rows that have the row's label and are answered with the column's; `support` (L,)."""

    names: tuple[str, ...]
    answered: tuple[str, ...]
    counts: NDArray[Any]
    support: NDArray[Any]

    @property
    def shares(self) -> NDArray[Any]:
        """The counts by support, NaN for a label that no row has."""
        import numpy as np

        return np.where(self.support[:, None] > 0, self.counts / np.maximum(self.support, 1)[:, None], np.nan)


def confusion(level: Level) -> Confusion:
    """Of single labels the usual matrix.

    Of several labels: on the diagonal the rows that were found; elsewhere the rows that miss the row's label and answer the
    column's, which is wrong for them; last the rows that miss it and answer nothing wrong. A row may be in several columns.
    """
    import numpy as np

    truth, decided, known = (one.astype(np.float32) for one in level.flags())
    support = truth.sum(axis=0).astype(np.int64)
    if level.exclusive:
        return Confusion(level.names, level.names, (truth.T @ decided).astype(np.int64), support)
    missed, wrong = truth * (1 - decided), decided * (1 - truth) * known
    counts = missed.T @ wrong
    counts[np.diag_indices(len(support))] = (truth * decided).sum(axis=0)
    silent = missed.T @ (1 - wrong.max(axis=1, initial=0.0))
    both = np.column_stack([counts, silent]).astype(np.int64)
    return Confusion(level.names, (*level.names, NOTHING), both, support)


def confusion_table(kept: Kept, level: Level) -> Table:
    """Counts: the matrix of single labels, where a person can read it; else the pairs that are confused most often.

    Of more than `MANY` labels, several a row, only the `MANY` with the most rows are looked at.
    """
    what = f"Confusion: {kept.named(level)} on {kept.where}"
    if level.exclusive and len(level.names) <= DRAWN:
        found = confusion(level)
        rows: list[tuple[Cell, ...]] = [(name, *counts.tolist()) for name, counts in zip(found.names, found.counts, strict=True)]
        said = "rows: the true label; columns: the answer; numbers of texts"
        return Table(what, ("true label", *found.answered), tuple(rows), (said,))
    bounded = not level.exclusive and len(level.names) > MANY
    level = level.most(MANY) if bounded else level
    pairs, sizes, support = _confused(level)
    shown = [
        (level.names[i], level.names[j], int(size), int(support[i]), float(size / support[i]))
        for (i, j), size in zip(pairs[:LONGEST].tolist(), sizes[:LONGEST], strict=True)
    ]
    notes = ["texts that have the true label and are answered with the wrong one"]
    if not level.exclusive:
        missed = "texts that miss the true label and have the wrong one answered"
        notes = [f"{missed} (from {THRESHOLD} on); a text may be in several"]
    notes += [f"{len(pairs) - LONGEST} rarer pairs are left out"] if len(pairs) > LONGEST else []
    notes += [f"only among the {MANY} labels with the most rows"] if bounded else []
    columns = ("true label, missed", "wrong label, answered", "texts", "support", "share of support")
    return Table(what, columns, tuple(shown), tuple(notes))


def _confused(level: Level) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pairs of labels (n, 2), true and wrongly answered, the most frequent first; their rows (n,); the rows of each label (L,).

    Of single labels without a matrix, as there may be thousands of labels.
    """
    import numpy as np

    labels = len(level.names)
    if level.exclusive:
        truth, decided = level.answers.targets.astype(np.int64), level.answers.probabilities.argmax(axis=1)
        wrong = (truth != decided) & (truth >= 0)
        codes, sizes = np.unique(truth[wrong] * labels + decided[wrong], return_counts=True)
        pairs, support = np.column_stack(np.divmod(codes, labels)), np.bincount(truth[truth >= 0], minlength=labels)
    else:
        found = confusion(level)
        counts, support = found.counts[:, :labels].copy(), found.support
        np.fill_diagonal(counts, 0)
        pairs = np.argwhere(counts)
        sizes = counts[tuple(pairs.T)]
    order = _order(pairs, sizes, level.names)
    return pairs[order], sizes[order], support


def _first(pairs: NDArray[Any], sizes: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """Pairs of labels (n, 2) with the largest first, and equal ones by their names."""
    return pairs[_order(pairs, sizes, names)]  # type: ignore[no-any-return]


def _order(pairs: NDArray[Any], sizes: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """The order of pairs of labels (n, 2): the largest first, and equal ones by their names."""
    import numpy as np

    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return np.lexsort((rank[pairs[:, 1]], rank[pairs[:, 0]], -sizes))


@dataclass(frozen=True)
class Together:
    """Jaccard indices (L, L) of labels in targets and in answers: rows with both by rows with either; NaN where none has."""

    names: tuple[str, ...]
    rows: NDArray[Any]
    targets: NDArray[Any]
    answers: NDArray[Any]


def together(level: Level) -> Together | None:
    """How often labels occur together; None where no row has two labels."""
    truth, decided, _ = level.flags()
    if level.exclusive or not (truth.sum(axis=1) > 1).any():
        return None
    (rows, targets), (_, answers) = _jaccard(truth), _jaccard(decided)
    return Together(level.names, rows, targets, answers)


def _jaccard(flags: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows that have both of two labels, and the same by the rows that have either."""
    import numpy as np

    each = flags.astype(np.float32)
    both = each.T @ each
    either = both.diagonal()[:, None] + both.diagonal()[None, :] - both
    return both.astype(np.int64), np.where(either > 0, both / np.maximum(either, 1), np.nan)


def together_table(kept: Kept, level: Level, found: Together) -> Table:
    """The pairs of labels whose co-occurrence differs most between targets and answers."""
    import numpy as np

    gaps = np.nan_to_num(found.answers - found.targets)
    pairs = np.argwhere(np.triu((found.rows > 0) | (found.answers > 0), 1))
    pairs = _first(pairs, np.abs(gaps[tuple(pairs.T)]), found.names)
    shown: list[tuple[Cell, ...]] = []
    for i, j in pairs[:LONGEST]:
        true, said = (None if np.isnan(one[i, j]) else float(one[i, j]) for one in (found.targets, found.answers))
        gap = None if said is None or true is None else said - true
        shown.append((found.names[i], found.names[j], int(found.rows[i, j]), true, said, gap))
    notes = [f"Jaccard: texts with both labels by texts with either; answered: from a probability of {THRESHOLD} on"]
    notes += [f"{len(pairs) - LONGEST} pairs that differ less are left out"] if len(pairs) > LONGEST else []
    notes += [f"only among the {MANY} labels with the most rows"] if len(level.names) > MANY else []
    columns = ("label", "other label", "texts with both", "in targets", "in answers", "difference")
    title = f"Labels that occur together: {kept.named(level)} on {kept.where}"
    return Table(title, columns, tuple(shown), tuple(notes))

"""Which rows a step sees: an endless stream, a function of seed, name and position alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 50
"""Batches that are sorted by length together: little padding, still random."""


@dataclass
class Stream:
    """Rows without end: pass after pass over the same `rows` (n,), each pass in its own order.

    `take(position, n)` gives the n rows from a position on, whatever was taken before. With
    `buckets`, rows of like length (`lengths`, of every row of the corpus) stand together in blocks
    of `block` rows. The blocks are shuffled, and so are the rows within each: a task that takes the
    first rows of a block only must not always get the shortest.

    `repeats` (n,) say how often a row comes in relation to the others. A pass still has n rows, and
    each row as often as that makes of it, rounded up or down by chance. Left out, every row comes
    once a pass.
    """

    name: str
    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    seed: int
    block: int
    buckets: bool
    repeats: NDArray[np.float64] | None = None
    _last_pass: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, position: int, n: int) -> NDArray[np.int64]:
        """The rows at positions `position` to `position + n` of the stream (n,)."""
        import numpy as np

        parts = []
        while n > 0:
            number, start = divmod(position, len(self.rows))
            part = self._order(number)[start : start + n]
            parts.append(part)
            position, n = position + len(part), n - len(part)
        return np.concatenate(parts) if parts else self.rows[:0]

    def _order(self, number: int) -> NDArray[np.int64]:
        """The rows in the order of pass `number`; the last pass that was asked for is cached."""
        if self._last_pass is not None and self._last_pass[0] == number:
            return self._last_pass[1]
        draw = generator(self.seed, "rows", self.name, number)
        if self.repeats is None:
            order = self.rows[draw.permutation(len(self.rows))]
        else:
            order = self.rows[repeated(self.repeats, draw)]
        if self.buckets:
            order = self._bucketed(order, draw)
        self._last_pass = (number, order)
        return order

    def _bucketed(self, order: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
        """Sort windows of rows by length, then shuffle the blocks, and the rows of each block."""
        import numpy as np

        window = self.block * WINDOW
        windows = []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            windows.append(rows[np.argsort(self.lengths[rows], kind="stable")])
        order = np.concatenate(windows)
        # A last block that is shorter stays last.
        whole = len(order) // self.block * self.block
        blocks = order[:whole].reshape(-1, self.block)
        blocks = draw.permuted(blocks[draw.permutation(len(blocks))], axis=1)
        return np.concatenate([blocks.ravel(), order[whole:]])


def repeated(repeats: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.int64]:
    """The places (n,) of n rows, each as often as its part of all repeats wants, in random order.

    Systematic sampling: row i has a piece of length e_i = n r_i / sum(r) on a line of length n, and
    each of the points u, u + 1, ..., u + n - 1, with one u in 0..1, takes the row in whose piece it
    lies. So row i comes floor(e_i) or ceil(e_i) times, and e_i times on average.
    """
    import numpy as np

    n = len(repeats)
    # Shuffled first: rows that stand together in the corpus would never be rounded up together.
    order = draw.permutation(n)
    edges = np.cumsum(repeats[order])  # where the pieces end
    edges *= n / edges[-1]
    points = draw.random() + np.arange(n)
    taken = np.searchsorted(edges, points, side="right").clip(max=n - 1)
    return draw.permutation(order[taken])


def apportion(
    probabilities: dict[str, float], total: int, draw: np.random.Generator
) -> dict[str, int]:
    """`total` examples among tasks by their probabilities: floors, the rest drawn by fractions.

    A task gets at least one, unless its probability is 0. The expectation is exact as long as no
    task's share is below one example.
    """
    import numpy as np

    shares = np.array(list(probabilities.values())) * total
    counts = np.floor(shares + 1e-9).astype(int)
    rest = total - int(counts.sum())
    if rest > 0:
        # Systematic sampling, as in `repeated`, over the fractions: one uniform number decides all,
        # and each task gets at most one more, with the probability of its fraction.
        fractions = np.clip(shares - counts, 0, None)
        edges = np.concatenate([[0.0], np.cumsum(fractions)])
        edges *= rest / edges[-1]
        points = draw.random() + np.arange(rest)
        counts += np.histogram(points, bins=edges)[0]
    examples = {}
    for name, count, share in zip(probabilities, counts, shares, strict=True):
        examples[name] = max(1, int(count)) if share else 0
    return examples

"""Which rows a step sees: an endless stream of rows per task or corpus, a pure function of seed, name and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emomtl.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 50
"""Batches that are sorted by length together: little padding, still random."""


class Stream:
    """Rows without end: pass after pass over the same rows, each pass in its own order.

    `take(position, n)` gives the n rows from a position on, whatever was taken before: what is kept is only a cache.
    With buckets, rows of like length stand together in blocks of `block` rows; the blocks are shuffled, and so are the rows
    within each (a task that takes the first rows of a block only must not always get the shortest).

    `repeats` (n,) say how often a row comes in relation to the others; a pass still has n rows, and each row as often as that
    makes of it, rounded up or down by chance. Left out, every row comes once a pass.
    """

    def __init__(
        self,
        name: str,
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64],
        seed: int,
        block: int,
        buckets: bool,
        repeats: NDArray[np.float64] | None = None,
    ) -> None:
        self.name, self.rows, self.lengths, self.repeats = name, rows, lengths, repeats
        self.seed, self.block, self.buckets = seed, block, buckets
        self._cached: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, position: int, n: int) -> NDArray[np.int64]:
        """The rows at positions `position` to `position + n` of the stream (n,)."""
        import numpy as np

        parts = []
        while n > 0:
            number, inside = divmod(position, len(self.rows))
            part = self._order(number)[inside : inside + n]
            parts.append(part)
            position, n = position + len(part), n - len(part)
        return np.concatenate(parts) if parts else self.rows[:0]

    def _order(self, number: int) -> NDArray[np.int64]:
        """The rows in the order of pass `number`."""
        import numpy as np

        if self._cached is not None and self._cached[0] == number:
            return self._cached[1]
        draw = generator(self.seed, "rows", self.name, number)
        order = self.rows[draw.permutation(len(self.rows)) if self.repeats is None else repeated(self.repeats, draw)]
        if self.buckets:
            window = self.block * WINDOW
            sorted_rows = [
                part[np.argsort(self.lengths[part], kind="stable")]
                for part in (order[start : start + window] for start in range(0, len(order), window))
            ]
            order = np.concatenate(sorted_rows)
            whole = len(order) // self.block * self.block
            blocks = order[:whole].reshape(-1, self.block)
            blocks = draw.permuted(blocks[draw.permutation(len(blocks))], axis=1)
            order = np.concatenate([blocks.ravel(), order[whole:]])
        self._cached = (number, order)
        return order


def repeated(repeats: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.int64]:
    """The places (n,) of n rows, each as often as its part of all repeats wants, in an order of chance.

    Systematic sampling: row i has a piece of length e_i = n r_i / sum of r on a line of length n, and each of the points
    u, u + 1, ..., u + n - 1 with one u in 0..1 takes the row in whose piece it lies. So row i comes floor(e_i) or ceil(e_i)
    times, and e_i times on average.
    """
    import numpy as np

    n = len(repeats)
    order = draw.permutation(n)  # else rows that stand together in the corpus would never be rounded up together
    edges = np.cumsum(repeats[order])
    edges *= n / edges[-1]
    taken = np.searchsorted(edges, draw.random() + np.arange(n), side="right").clip(max=n - 1)
    return draw.permutation(order[taken])


def apportion(probabilities: dict[str, float], total: int, draw: np.random.Generator) -> dict[str, int]:
    """`total` examples among tasks by their probabilities: floors, and the rest drawn by the fractions.

    A task gets at least one, unless its probability is 0. The expectation is exact as long as no task's share is below
    one example.
    """
    import numpy as np

    names = list(probabilities)
    shares = np.array([probabilities[name] for name in names]) * total
    counts = np.floor(shares + 1e-9).astype(int)
    rest = total - int(counts.sum())
    if rest > 0:
        fractions = np.clip(shares - counts, 0, None)
        # systematic sampling: one uniform number decides all, each task gets at most one more, with its fraction's probability
        edges = np.concatenate([[0.0], np.cumsum(fractions)])
        edges *= rest / edges[-1]
        points = draw.random() + np.arange(rest)
        counts += np.histogram(points, bins=edges)[0]
    return {name: max(1, int(count)) if share else 0 for name, count, share in zip(names, counts, shares, strict=True)}

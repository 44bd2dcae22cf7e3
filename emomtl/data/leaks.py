"""Training rows whose text is also scored: the same text, in whatever case and spacing, in validation or test of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

from emomtl.contracts.sources import normalise
from emomtl.data.reading import ReadRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORED = ("validation", "test")
"""The splits that choose or judge a model; a text of theirs has no place in training."""


def text_keys(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """A 64-bit key (BLAKE2b) of each text, equal where two texts are the same in NFKC, lower case and single spaces, (n,).

    A text with a pair counts as a whole: both must be the same. Two different texts of a million have one key with a
    probability of 3e-8.
    """
    return _keys(map(normalise, texts), None if pairs is None else map(normalise, pairs))


def exact_keys(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """As `text_keys`, but equal only where two texts are the same in every character, (n,)."""
    return _keys(texts, pairs)


def _keys(texts: Iterable[str], pairs: Iterable[str] | None) -> NDArray[np.uint64]:
    import numpy as np

    joined = (f"{text}\0{pair}" if pair else text for text, pair in zip(texts, pairs or repeat("")))  # noqa: B905 (`repeat` never ends)
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in joined)
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64)


@dataclass(frozen=True)
class Leaks:
    """Training rows of one task whose text stands in validation or test of a task of the run.

    `where` counts them by the task and split in which their text stands too; one row may count in several.
    """

    rows: int
    where: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __str__(self) -> str:
        places = ", ".join(f"{task} {split} {n:,}" for (task, split), n in self.where.items())
        return f"{self.rows:,} training rows have a text of validation or test ({places})"

    def as_json(self) -> dict[str, int | dict[str, int]]:
        """Their number, and how many of them stand in each `task split`."""
        return {"rows": self.rows, "where": {f"{task} {split}": n for (task, split), n in self.where.items()}}


class Scored:
    """The keys of all texts that a run scores, by task and split, and whether training rows with such a text are dropped."""

    def __init__(self, read: Mapping[str, Mapping[str, ReadRows]], drop: bool) -> None:
        """`read` are the rows by task and split, before any limit."""
        import numpy as np

        self.drop = drop
        self._keys = {
            (task, split): np.unique(text_keys(splits[split].texts, splits[split].pairs))
            for task, splits in read.items()
            for split in SCORED
            if split in splits
        }
        self._all = np.unique(np.concatenate([*self._keys.values(), np.zeros(0, np.uint64)]))

    def find(self, rows: ReadRows) -> tuple[NDArray[np.bool_], Leaks]:
        """Which of these training rows have a text that is scored (n,), and their count by where."""
        import numpy as np

        keys = text_keys(rows.texts, rows.pairs)
        found, where = np.isin(keys, self._all), {}
        leaking = keys[found]
        for place, scored in self._keys.items() if len(leaking) else ():
            if number := int(np.isin(leaking, scored).sum()):
                where[place] = number
        return found, Leaks(int(found.sum()), where)

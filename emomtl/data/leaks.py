"""Training rows whose text is also scored: it stands in validation or test of a task of the run.

Two texts are the same whatever their case and spacing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """A 64-bit key (BLAKE2b) of each text, (n,).

    Keys are equal where two texts are the same in NFKC, lower case and single spaces, and so are
    their pairs. Two different texts of a million have one key with a probability of 3e-8.
    """
    return _keys(map(normalise, texts), None if pairs is None else map(normalise, pairs))


def exact_keys(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """As `text_keys`, but equal only where two texts are the same in every character, (n,)."""
    return _keys(texts, pairs)


def _keys(texts: Iterable[str], pairs: Iterable[str] | None) -> NDArray[np.uint64]:
    import numpy as np

    def numbers() -> Iterator[int]:
        for text, pair in zip(texts, pairs or repeat("")):  # noqa: B905 (`repeat` never ends)
            joined = f"{text}\0{pair}" if pair else text
            data = joined.encode("utf-8", "surrogatepass")
            yield int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")

    return np.fromiter(numbers(), np.uint64)


@dataclass(frozen=True)
class Leaks:
    """Training rows of one task whose text stands in validation or test of a task of the run.

    `where` counts them by the task and split in which their text stands too; one row may count in
    several.
    """

    rows: int
    where: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __str__(self) -> str:
        places = ", ".join(f"{task} {split} {rows:,}" for (task, split), rows in self.where.items())
        return f"{self.rows:,} training rows have a text of validation or test ({places})"

    def as_json(self) -> dict[str, int | dict[str, int]]:
        """Their number, and how many of them stand in each `task split`."""
        where = {f"{task} {split}": rows for (task, split), rows in self.where.items()}
        return {"rows": self.rows, "where": where}


class ScoredTexts:
    """The keys of all texts that a run scores, by task and split."""

    def __init__(self, rows: Mapping[str, Mapping[str, ReadRows]]) -> None:
        """`rows` are those of each task by split, before any limit."""
        import numpy as np

        self._keys = {}
        for task, splits in rows.items():
            for split in SCORED:
                if split in splits:
                    keys = text_keys(splits[split].texts, splits[split].pairs)
                    self._keys[task, split] = np.unique(keys)
        self._all = np.unique(np.concatenate([*self._keys.values(), np.zeros(0, np.uint64)]))

    def find(self, rows: ReadRows) -> tuple[NDArray[np.bool_], Leaks]:
        """Which of these training rows have a text that is scored (n,), and their counts."""
        import numpy as np

        keys = text_keys(rows.texts, rows.pairs)
        is_leaking = np.isin(keys, self._all)
        leaking, where = keys[is_leaking], {}
        if len(leaking):
            for place, scored in self._keys.items():
                if count := int(np.isin(leaking, scored).sum()):
                    where[place] = count
        return is_leaking, Leaks(len(leaking), where)

"""Corpora: texts that one or several tasks share, each task's rows in them, and how the texts of two tasks become one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from emomtl.contracts.task import MOST_EXAMPLES
from emomtl.data.texts import LaterTexts, TextColumn
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.leaks import Leaks
    from emomtl.data.noise import Moves, Noise
    from emomtl.data.reading import BadRows


@dataclass(frozen=True)
class TaskRows:
    """The rows of one task in one split: positions in the corpus's split (n,), and their targets (n, ...)."""

    index: NDArray[np.int64]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.index)


HASHED = 8192
"""Texts that are hashed at a time."""


@dataclass(frozen=True)
class CorpusSplit:
    """The texts of one split, once for all tasks of the corpus, with their keys in the source, which rise.

    A key tells which example of which row a text is (`keys_of`): two tasks share the texts of a source where they read the
    same ones under the same keys. `pairs` is None where no row has a second text.
    """

    keys: NDArray[np.int64]
    texts: Sequence[str]
    pairs: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digest(self) -> str:
        """A SHA-256 over the texts and their pairs, in their order."""
        if isinstance(self.texts, LaterTexts):
            return self.texts.digest
        digest = hashlib.sha256(str(len(self)).encode())
        for texts in (self.texts, self.pairs):
            digest.update(b"none" if texts is None else b"some")
            for start in range(0, 0 if texts is None else len(texts), HASHED):
                assert texts is not None
                raw = [text.encode("utf-8", "surrogatepass") for text in texts[start : start + HASHED]]
                digest.update(",".join(str(len(text)) for text in raw).encode())
                digest.update(b":" + b"".join(raw))
        return digest.hexdigest()

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of the rows in the source (n,), by which a row's file and line are found."""
        return self.keys // MOST_EXAMPLES


@dataclass
class Corpus:
    """Texts that one or several tasks share, with each task's rows by (task, split); `identity` tells the source.

    `max_tokens` of a text are read, None: as many as the encoder's. Tasks of one source that differ in it share no texts.
    `sensitive` where any task of that source is: its texts, and what is made of them, stay out of every cache.
    """

    name: str
    identity: str
    splits: dict[str, CorpusSplit] = field(default_factory=dict)
    rows: dict[tuple[str, str], TaskRows] = field(default_factory=dict)
    sensitive: bool = False
    max_tokens: int | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose rows are here, in the manifest's order."""
        return tuple(dict.fromkeys(task for task, _ in self.rows))


@dataclass
class TaskData:
    """All that was read: corpora, the taxonomy of each task (learned where it was open), and what there is to say.

    `leaks` are the training rows that were found (and, where wanted, left out) because their text is scored, by task.
    `unseen` are labels by (task, split) that the model does not have, where they count as wrong: targets have them after
    those of the taxonomy. `bad` are the rows by (task, split) that were skipped. `moves` are what label noise moved, by task.
    """

    corpora: list[Corpus]
    taxonomies: dict[str, Taxonomy | None]
    fingerprints: dict[str, str]
    notes: list[str] = field(default_factory=list)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    leaks: dict[str, Leaks] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)
    moves: dict[str, Moves] = field(default_factory=dict)
    unseen: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    bad: dict[tuple[str, str], BadRows] = field(default_factory=dict)

    def corpus(self, task: str) -> Corpus:
        """The corpus that holds a task's rows."""
        return next(corpus for corpus in self.corpora if task in corpus.tasks)

    def rows(self, task: str, split: str) -> TaskRows:
        """A task's rows in a split; an error where the split has none."""
        found = self.corpus(task).rows.get((task, split))
        if found is None or not len(found):
            raise EmomtlError(Problem(f"tasks.{task}", f"no {split} rows", "name a file for the split, or let the task split"))
        return found

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Training rows per task, in the manifest's order; asked for at every step, so counted once, when all is read."""
        return {task: len(self.corpus(task).rows[task, "train"]) for task in self.taxonomies}


def keys_of(numbers: Sequence[int]) -> NDArray[np.int64]:
    """A key for each example from the rising numbers of the rows (n,): number * MOST_EXAMPLES + its position in its row."""
    import numpy as np

    found = np.asarray(numbers, dtype=np.int64)
    return found * MOST_EXAMPLES + np.arange(len(found)) - np.searchsorted(found, found)


def positions(split: CorpusSplit, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the examples of these keys stand; keys rise."""
    import numpy as np

    return np.searchsorted(split.keys, keys).astype(np.int64)


def merge(corpus: Corpus, texts: Mapping[str, CorpusSplit]) -> bool:
    """Add the examples that the corpus lacks; False, and nothing done, where one that both have differs in its texts."""
    import numpy as np

    merged: dict[str, CorpusSplit] = {}
    for split, new in texts.items():
        old = corpus.splits.get(split)
        if old is None or (len(old) == 0 and len(new) > 0):
            merged[split] = new
            continue
        if np.array_equal(old.keys, new.keys):
            if old.texts != new.texts or old.pairs != new.pairs:
                return False
            continue
        both = dict(zip(old.keys.tolist(), zip(old.texts, old.pairs or [""] * len(old), strict=True), strict=True))
        for key, row in zip(new.keys.tolist(), zip(new.texts, new.pairs or [""] * len(new), strict=True), strict=True):
            if both.setdefault(key, row) != row:
                return False
        keys = sorted(both)
        pairs = TextColumn(both[key][1] for key in keys) if old.pairs or new.pairs else None
        merged[split] = CorpusSplit(np.asarray(keys, dtype=np.int64), TextColumn(both[key][0] for key in keys), pairs)
    for split, union in merged.items():
        for task in corpus.tasks:
            if (task, split) in corpus.rows:
                was = corpus.rows[task, split]
                kept = corpus.splits[split].keys[was.index]
                corpus.rows[task, split] = TaskRows(positions(union, kept), was.targets)
        corpus.splits[split] = union
    return True

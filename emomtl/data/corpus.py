"""Corpora: texts that one or several tasks share, with each task's rows in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from emomtl.contracts.task import MOST_EXAMPLES
from emomtl.data.texts import LazyTexts, TextColumn
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.leaks import Leaks
    from emomtl.data.noise import Moves, Noise
    from emomtl.data.reading import BadRows

HASHED = 8192
"""Texts that are hashed at a time."""


@dataclass(frozen=True)
class TaskRows:
    """One task's rows in one split: positions in the corpus's split (n,), and targets (n, ...)."""

    index: NDArray[np.int64]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class CorpusSplit:
    """The texts of one split, once for all tasks of the corpus, with their keys in the source.

    A key tells which example of which row a text is (`keys_of`), and keys rise: two tasks share the
    texts of a source where they read the same ones under the same keys. `pairs` are second texts;
    None where no row has one.
    """

    keys: NDArray[np.int64]
    texts: Sequence[str]
    pairs: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digest(self) -> str:
        """A SHA-256 over the texts and their pairs, in their order."""
        if isinstance(self.texts, LazyTexts):
            return self.texts.digest
        digest = hashlib.sha256(str(len(self)).encode())
        for texts in (self.texts, self.pairs):
            if texts is None:
                digest.update(b"none")
                continue
            digest.update(b"some")
            for start in range(0, len(texts), HASHED):
                part = texts[start : start + HASHED]
                raw = [text.encode("utf-8", "surrogatepass") for text in part]
                # With their lengths, or "ab", "c" would be "a", "bc".
                digest.update(",".join(str(len(text)) for text in raw).encode())
                digest.update(b":" + b"".join(raw))
        return digest.hexdigest()

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The row numbers in the source (n,), by which a row's file and line are found."""
        return self.keys // MOST_EXAMPLES

    def by_key(self) -> Iterator[tuple[int, tuple[str, str]]]:
        """Each key with its text and pair; an empty pair where there is none."""
        pairs = self.pairs or [""] * len(self)
        return zip(self.keys.tolist(), zip(self.texts, pairs, strict=True), strict=True)


@dataclass
class Corpus:
    """Texts that one or several tasks share, with each task's rows by (task, split).

    `identity` tells the source. `max_tokens` of a text are read, None: as many as the encoder's;
    tasks of one source that differ in it share no texts. A corpus is `sensitive` where any task of
    its source is: its texts, and what is made of them, stay out of the cache.
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
    """All that was read.

    - `taxonomies`: of each task, learned from its training rows where it was open.
    - `fingerprints`: of each task's source.
    - `notes`: lines for the user; `counted`: by task, how many rows are odd in which way.
    - `leaks`: by task, training rows whose text is scored.
    - `noise`: by task, what label noise did; `moves`: which rows got whose labels.
    - `unseen`: by (task, split), labels that the model lacks and that count as wrong. Targets have
      them after those of the taxonomy.
    - `bad`: by (task, split), rows that were skipped.
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
        """A task's rows in a split. EmomtlError where there are none."""
        rows = self.corpus(task).rows.get((task, split))
        if rows is None or not len(rows):
            remedy = "name a file for the split, or let the task split"
            raise EmomtlError(Problem(f"tasks.{task}", f"no {split} rows", remedy))
        return rows

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Training rows by task, in the manifest's order; cached, as each step asks for them."""
        return {task: len(self.corpus(task).rows[task, "train"]) for task in self.taxonomies}


def keys_of(numbers: Sequence[int]) -> NDArray[np.int64]:
    """A key for each example (n,), from rising row numbers: number * MOST_EXAMPLES + i.

    i is the position of the example in its row.
    """
    import numpy as np

    rows = np.asarray(numbers, dtype=np.int64)
    first_of_row = np.searchsorted(rows, rows)
    return rows * MOST_EXAMPLES + np.arange(len(rows)) - first_of_row


def positions(split: CorpusSplit, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the examples of these keys stand in a split, (n,)."""
    import numpy as np

    return np.searchsorted(split.keys, keys).astype(np.int64)


def merge(corpus: Corpus, texts: Mapping[str, CorpusSplit]) -> bool:
    """Add the examples that a corpus lacks, by split.

    False, and nothing is done, where an example that both have differs in its texts.
    """
    merged: dict[str, CorpusSplit] = {}
    for split, new in texts.items():
        old = corpus.splits.get(split)
        if old is None or (len(old) == 0 and len(new) > 0):
            merged[split] = new
            continue
        union = _union(old, new)
        if union is None:
            return False
        if union is not old:
            merged[split] = union
    for split, union in merged.items():
        for task in corpus.tasks:
            if (task, split) in corpus.rows:
                rows = corpus.rows[task, split]
                keys = corpus.splits[split].keys[rows.index]
                corpus.rows[task, split] = TaskRows(positions(union, keys), rows.targets)
        corpus.splits[split] = union
    return True


def _union(old: CorpusSplit, new: CorpusSplit) -> CorpusSplit | None:
    """The examples of both; `old` where it has all, None where one with the same key differs."""
    import numpy as np

    if np.array_equal(old.keys, new.keys):
        return old if old.texts == new.texts and old.pairs == new.pairs else None
    examples = dict(old.by_key())
    for key, example in new.by_key():
        if examples.setdefault(key, example) != example:
            return None
    keys = sorted(examples)
    pairs = None
    if old.pairs or new.pairs:
        pairs = TextColumn(examples[key][1] for key in keys)
    texts = TextColumn(examples[key][0] for key in keys)
    return CorpusSplit(np.asarray(keys, dtype=np.int64), texts, pairs)

"""Cached rows: which examples a source gives its tasks, and their targets, without their texts.

An entry is for one source, read by the tasks of a run that share it. Its key is a hash over the
source's content, over all that decides how it is read, and over emomtl's own code. The texts are
read from the source when somebody asks for them; a run whose tokens are cached, too, never does. Of
a source with a sensitive task, with bad rows or with label noise nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.cache.store import Arrays, Damaged, Facts, Store, cache_folder
from emomtl.data.corpus import Corpus, CorpusSplit, TaskData, TaskRows
from emomtl.data.texts import LazyTexts
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.data.bound_task import BoundTask, ReadOptions

FORMAT = 3
"""The version of an entry's files; part of the key, so that another version is never read."""

FEWEST = 20_000
"""Texts of the smallest source that is cached: fewer are read in a fifth of a second."""

Read = Callable[["Sequence[BoundTask]", "ReadOptions"], TaskData]
"""`read_tasks`, by which the tasks of one source are read anew."""


class RowCache:
    """Cached rows as one reading of a run's tasks uses them."""

    def __init__(self, options: ReadOptions, read: Read) -> None:
        assert options.note is not None
        self._store = Store(cache_folder(), options.note)
        self._options, self._read = options, read
        self._keys: dict[str, str] = {}
        self._fingerprints: dict[str, str] = {}

    def find(self, tasks: Sequence[BoundTask]) -> TaskData | None:
        """What reading the tasks of one source would give, or None; its texts are read later."""
        key = self._key(tasks)
        if key is None:
            return None
        return self._store.find(key, lambda facts, arrays: self._parsed(tasks, facts, arrays))

    def keep(self, tasks: Sequence[BoundTask], data: TaskData) -> None:
        """Keep what reading the tasks of one source gave, where it may be and is worth it."""
        key = self._key(tasks)
        texts = sum(len(part) for corpus in data.corpora for part in corpus.splits.values())
        if key is None or texts < FEWEST:
            return
        arrays, corpora = {}, []
        for place, corpus in enumerate(data.corpora):
            splits = {}
            for split, part in corpus.splits.items():
                arrays[f"keys-{place}-{split}"] = part.keys
                splits[split] = [part.digest, part.pairs is not None]
            for number, rows in enumerate(corpus.rows.values()):
                arrays[f"index-{place}-{number}"] = rows.index
                arrays[f"targets-{place}-{number}"] = rows.targets
            about = {"name": corpus.name, "max_tokens": corpus.max_tokens}
            corpora.append({**about, "splits": splits, "rows": list(corpus.rows)})
        if any(array.dtype.kind not in "biuf" for array in arrays.values()):
            return
        learned = {}
        for task in tasks:
            taxonomy = data.taxonomies[task.name]
            if task.taxonomy is None and taxonomy is not None:
                learned[task.name] = taxonomy.names
        facts: dict[str, Any] = {
            "holds": "rows",
            "corpus": ", ".join(data.taxonomies),
            "split": ", ".join(data.corpora[0].splits),
            "texts": texts,
            "corpora": corpora,
            "learned": learned,
            "notes": data.notes,
            "counted": data.counted,
        }
        self._store.keep(key, arrays, facts)

    def _key(self, tasks: Sequence[BoundTask]) -> str | None:
        """The key of a source's rows; None where they are not to be kept."""
        options, located = self._options, tasks[0].rows_source
        for task in tasks:
            noisy = options.label_noise and task.has_noisy_labels
            if task.name not in options.recipes or task.task.sensitive or noisy:
                return None
        # Asked last: the first time, it makes the folder.
        if not located.lasting or not self._store.usable:
            return None
        if located.identity not in self._keys:
            read = []
            for task in tasks:
                limits = [options.limit(task, split) for split in options.splits]
                read.append([task.name, options.recipes[task.name], limits, task.max_tokens])
            how = [options.splits, options.on_bad_row, options.need_train, options.unseen_in]
            fingerprint = self._fingerprints[located.identity] = located.fingerprint()
            content = [FORMAT, _code_digest(), located.identity, fingerprint, how, read]
            digest = hashlib.sha256(json.dumps(content).encode())
            self._keys[located.identity] = digest.hexdigest()
        return self._keys[located.identity]

    def _parsed(self, tasks: Sequence[BoundTask], facts: Facts, arrays: Arrays) -> TaskData:
        """The rows of an entry. Damaged where its arrays do not fit one another."""
        located = tasks[0].rows_source
        uncached = replace(self._options, note=None)
        read_anew = functools.cache(lambda: self._read(tasks, uncached).corpora)
        taxonomies = {task.name: task.taxonomy for task in tasks}
        for name, labels in facts["learned"].items():
            taxonomies[name] = Taxonomy(labels)
        data = TaskData([], taxonomies, {})
        for place, described in enumerate(facts["corpora"]):
            corpus = Corpus(described["name"], located.identity, max_tokens=described["max_tokens"])
            for split, (digest, paired) in described["splits"].items():
                keys = arrays[f"keys-{place}-{split}"]
                later = _LaterSplit(read_anew, place, split, digest)
                pairs = LazyTexts(len(keys), digest, later.pairs) if paired else None
                texts = LazyTexts(len(keys), digest, later.texts)
                corpus.splits[split] = CorpusSplit(keys, texts, pairs)
            for number, (task, split) in enumerate(described["rows"]):
                index = arrays[f"index-{place}-{number}"]
                targets = arrays[f"targets-{place}-{number}"]
                _check_rows(index, targets, len(corpus.splits[split]))
                corpus.rows[task, split] = TaskRows(index, targets)
            data.corpora.append(corpus)
        data.notes, data.counted = list(facts["notes"]), dict(facts["counted"])
        fingerprint = self._fingerprints[located.identity]
        data.fingerprints = {task.name: fingerprint for task in tasks}
        return data


def _check_rows(index: Any, targets: Any, texts: int) -> None:
    inside = not len(index) or 0 <= index.min() <= index.max() < texts
    if len(index) != len(targets) or not inside:
        raise Damaged("its rows and texts do not fit one another")


@dataclass(frozen=True)
class _LaterSplit:
    """Reads the texts of a split when they are asked for, and compares them with their digest."""

    read_anew: Callable[[], Sequence[Corpus]]
    place: int
    split: str
    digest: str

    def texts(self) -> Sequence[str]:
        return self._read().texts

    def pairs(self) -> Sequence[str]:
        return self._read().pairs or ()

    def _read(self) -> CorpusSplit:
        corpora = self.read_anew()
        part = None
        if self.place < len(corpora):
            part = corpora[self.place].splits.get(self.split)
        if part is None or part.digest != self.digest:
            found = f"the {self.split} rows of a source changed while they were in use"
            raise EmomtlError(Problem("data", found, "start again"))
        return part


@functools.cache
def _code_digest() -> str:
    """A SHA-256 over emomtl's own source files: another version reads its rows anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

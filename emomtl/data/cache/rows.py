"""Rows that are kept between runs: which examples a source gives its tasks, and their targets, without a word of the texts.

An entry is for one source, read by the tasks of a run that share it. Its key is a hash over the source's content, over all that
decides how it is read, and over emomtl's own code. The texts are read from the source when somebody asks for them; a run
whose tokens are kept, too, never does. Of a source with a sensitive task, and of one with bad rows, nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.cache.store import Damaged, Store, cache_folder
from emomtl.data.corpus import Corpus, CorpusSplit, TaskData, TaskRows
from emomtl.data.texts import LaterTexts
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.data.task_input import TaskInput

FORMAT = 2
"""The version of an entry's files; it is part of the key, so that another version is never read."""

FEWEST = 20_000
"""Texts of the smallest source that is kept: fewer are read in a fifth of a second."""

ROWS, WHAT = "rows", "row cache"
"""The store's folder, and its name in notes."""

Read = Callable[["Sequence[TaskInput]"], TaskData]
"""Reads the tasks of one source anew."""


class RowCache:
    """The kept rows as one reading of a run's tasks uses them; `options` decides, beside the tasks, how rows are read."""

    def __init__(self, note: Callable[[str], None], read: Read, options: Sequence[Any]) -> None:
        self._store = Store(WHAT, cache_folder(ROWS), note)
        self._read, self._options = read, list(options)
        self._keys: dict[str, str] = {}
        self._content: dict[str, str] = {}

    def find(self, members: Sequence[TaskInput]) -> TaskData | None:
        """What reading the tasks of one source would give, its texts read when they are asked for; None where it is not kept."""
        key = self._key(members)
        if key is None:
            return None
        return self._store.find(key, lambda facts, arrays: self._parsed(members, facts, arrays))

    def keep(self, members: Sequence[TaskInput], data: TaskData) -> None:
        """Keep what reading the tasks of one source gave, where it may be and is worth it."""
        key, texts = self._key(members), sum(len(part) for corpus in data.corpora for part in corpus.splits.values())
        if key is None or texts < FEWEST:
            return
        arrays, corpora = {}, []
        for place, corpus in enumerate(data.corpora):
            for split, part in corpus.splits.items():
                arrays[f"keys-{place}-{split}"] = part.keys
            for number, rows in enumerate(corpus.rows.values()):
                arrays |= {f"index-{place}-{number}": rows.index, f"targets-{place}-{number}": rows.targets}
            splits = {split: [part.digest, part.pairs is not None] for split, part in corpus.splits.items()}
            corpora.append({"name": corpus.name, "splits": splits, "rows": list(corpus.rows), "max_tokens": corpus.max_tokens})
        if any(array.dtype.kind not in "biuf" for array in arrays.values()):
            return
        learned = {one.name: found.names for one in members if one.task.taxonomy is None and (found := data.taxonomies[one.name])}
        about = {"corpus": ", ".join(data.taxonomies), "split": ", ".join(data.corpora[0].splits), "texts": texts}
        self._store.keep(
            key, arrays, {**about, "corpora": corpora, "learned": learned, "notes": data.notes, "counted": data.counted}
        )

    def _key(self, members: Sequence[TaskInput]) -> str | None:
        """The key of a source's rows; None where they are not to be kept."""
        located = members[0].located
        if not self._store.usable or not located.lasting:
            return None
        if any(one.recipe is None or one.task.sensitive or one.label_noise or one.noise_from for one in members):
            return None
        if located.identity not in self._keys:
            tasks = [[one.name, one.recipe, one.limit, one.eval_limit, one.unseen_in, one.max_tokens] for one in members]
            content = self._content[located.identity] = located.fingerprint()
            said = json.dumps([FORMAT, _own_code(), located.identity, content, self._options, tasks])
            self._keys[located.identity] = hashlib.sha256(said.encode()).hexdigest()
        return self._keys[located.identity]

    def _parsed(self, members: Sequence[TaskInput], facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TaskData:
        """The rows of an entry; Damaged where its arrays do not belong together."""
        located = members[0].located
        anew = functools.cache(lambda: self._read(members).corpora)
        learned = {task: Taxonomy(names) for task, names in facts["learned"].items()}
        data = TaskData([], {one.name: learned.get(one.name, one.task.taxonomy) for one in members}, {})
        for place, described in enumerate(facts["corpora"]):
            corpus = Corpus(described["name"], located.identity, max_tokens=described["max_tokens"])
            for split, (digest, paired) in described["splits"].items():
                keys, later = arrays[f"keys-{place}-{split}"], _Later(anew, place, split, digest)
                pairs = LaterTexts(len(keys), digest, later.pairs) if paired else None
                corpus.splits[split] = CorpusSplit(keys, LaterTexts(len(keys), digest, later.texts), pairs)
            for number, (task, split) in enumerate(described["rows"]):
                rows = TaskRows(arrays[f"index-{place}-{number}"], arrays[f"targets-{place}-{number}"])
                texts = len(corpus.splits[split])
                if len(rows.index) != len(rows.targets) or (len(rows) and not 0 <= rows.index.min() <= rows.index.max() < texts):
                    raise Damaged("its rows and texts do not fit one another")
                corpus.rows[task, split] = rows
            data.corpora.append(corpus)
        data.notes, data.counted = list(facts["notes"]), dict(facts["counted"])
        data.fingerprints = {one.name: self._content[located.identity] for one in members}
        return data


@dataclass(frozen=True)
class _Later:
    """Reads the texts of a split when they are asked for, and holds them against the digest that they had."""

    anew: Callable[[], Sequence[Corpus]]
    place: int
    split: str
    digest: str

    def texts(self) -> Sequence[str]:
        return self._found().texts

    def pairs(self) -> Sequence[str]:
        return self._found().pairs or ()

    def _found(self) -> CorpusSplit:
        corpora = self.anew()
        found = corpora[self.place].splits.get(self.split) if self.place < len(corpora) else None
        if found is None or found.digest != self.digest:
            raise EmomtlError(Problem("data", f"the {self.split} rows of a source changed while they were in use", "start again"))
        return found


@functools.cache
def _own_code() -> str:
    """A SHA-256 over emomtl's own source files: another version reads its rows anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""From rows to corpora: every task's `read` over its source, tasks of one source merged, labels turned into targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from emomtl.data.leaks import Leaks, Scored
from emomtl.data.noise import Noise, flipped
from emomtl.data.reading import ReadRows, Tally, read_rows
from emomtl.errors import EmomtlError, Problem
from emomtl.sources import SPLITS, stable_fraction
from emomtl.task import MOST_EXAMPLES
from emomtl.taxonomy import Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.data.locate import Located
    from emomtl.heads import Head
    from emomtl.task import Task


LeakPolicy = Literal["keep", "count", "drop"]
"""What becomes of training rows whose text is scored: nothing, they are counted, or they are left out."""


@dataclass(frozen=True)
class TaskInput:
    """What is needed to read one task: its name in the run, the task, the head that answers, where its rows are."""

    name: str
    task: Task
    head: Head
    located: Located
    limit: int | None = None
    eval_limit: int | None = None
    label_noise: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class TaskRows:
    """The rows of one task in one split: positions in the corpus's split (n,), and their targets (n, ...)."""

    index: NDArray[np.int64]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.index)


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

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of the rows in the source (n,), by which a row's file and line are found."""
        return self.keys // MOST_EXAMPLES


@dataclass
class Corpus:
    """Texts that one or several tasks share, with each task's rows by (task, split); `identity` tells the source.

    `sensitive` where any task of that source is: its texts, and what is made of them, stay out of every cache.
    """

    name: str
    identity: str
    splits: dict[str, CorpusSplit] = field(default_factory=dict)
    rows: dict[tuple[str, str], TaskRows] = field(default_factory=dict)
    sensitive: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose rows are here, in the manifest's order."""
        return tuple(dict.fromkeys(task for task, _ in self.rows))


@dataclass
class TaskData:
    """All that was read: corpora, the taxonomy of each task (learned where it was open), and what there is to say.

    `leaks` are the training rows that were found (and, where wanted, left out) because their text is scored, by task.
    """

    corpora: list[Corpus]
    taxonomies: dict[str, Taxonomy | None]
    fingerprints: dict[str, str]
    notes: list[str] = field(default_factory=list)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    leaks: dict[str, Leaks] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)

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


def read_tasks(
    inputs: Sequence[TaskInput],
    splits: Sequence[str] = SPLITS,
    on_bad_row: str = "stop",
    need_train: bool = True,
    leaks: LeakPolicy = "keep",
) -> TaskData:
    """Read every task; sources that several tasks share are read once. All problems come in one error.

    With `leaks` "count" or "drop", training rows whose text stands in validation or test of any of the tasks are
    counted, or left out before `limit` chooses; validation and test are read for that, whole, whatever `splits` says.
    """
    problems: list[Problem] = []
    by_source: dict[str, list[TaskInput]] = {}
    for one in inputs:
        by_source.setdefault(one.located.identity, []).append(one)
    data = TaskData([], {one.name: None for one in inputs}, {})
    sensitive = {one.located.identity: one.located for one in inputs if one.task.sensitive}
    tallies = {source: Tally(on_bad_row, source in sensitive) for source in by_source}
    found: dict[str, dict[str, ReadRows]] = {}
    for source, members in by_source.items():
        wanted = splits if leaks == "keep" else SPLITS
        try:
            located = sensitive.get(source, members[0].located)  # whose errors quote nothing
            found |= read_rows({one.name: one.task for one in members}, located, wanted, tallies[source])
        except EmomtlError as error:
            problems += [problem for problem in error.problems if problem not in tallies[source].problems]
    scored = None if leaks == "keep" else Scored(found, drop=leaks == "drop")
    for source, members in by_source.items():
        bad = tallies[source]
        try:
            for one in members if members[0].name in found else ():
                rows = {split: part for split, part in found[one.name].items() if split in splits}
                _add(data, one, rows, bad, need_train, scored)
        except EmomtlError as error:
            problems += [problem for problem in error.problems if problem not in bad.problems]
        problems += bad.problems
        data.notes += bad.notes
    if problems:
        raise EmomtlError(*problems)
    for corpus in data.corpora:
        corpus.sensitive = corpus.identity in sensitive
    return data


def _add(
    data: TaskData, one: TaskInput, read: Mapping[str, ReadRows], bad: Tally, need_train: bool, scored: Scored | None
) -> None:
    """Put a task's rows into the corpus whose texts they share, else into a new one."""
    if need_train and not (read.get("train") and read["train"].texts):
        raise EmomtlError(
            Problem(f"tasks.{one.name}", f"no training rows in {one.located.layout}", "look at `source` and `read`")
        )
    taxonomy = data.taxonomies[one.name] = _taxonomy(one, read)
    data.notes += _published(one, read, bad)
    rows = _limited(one, read if scored is None or not scored.drop else _without_leaks(data, one, read, scored))
    if scored is not None and not scored.drop and "train" in rows:
        data.leaks[one.name] = scored.find(rows["train"])[1]
    targets = {split: _targets(one, part, taxonomy, split, bad) for split, part in rows.items()}
    texts = {split: _as_split(part) for split, part in rows.items()}
    if one.label_noise and "train" in texts:
        targets["train"], data.noise[one.name] = flipped(one, targets["train"], texts["train"].keys.tolist(), taxonomy)
        data.notes.append(f"{one.name}: {data.noise[one.name]}")
    for corpus in data.corpora:
        if corpus.identity == one.located.identity and _merge(corpus, texts):
            break
    else:
        corpus = Corpus(one.name, one.located.identity, dict(texts))
        data.corpora.append(corpus)
    for split, part in texts.items():
        corpus.rows[one.name, split] = TaskRows(_positions(corpus.splits[split], part.keys), targets[split])
    data.fingerprints[one.name] = one.located.fingerprint()
    data.counted[one.name] = bad.counted(one.name)


def _without_leaks(data: TaskData, one: TaskInput, read: Mapping[str, ReadRows], scored: Scored) -> dict[str, ReadRows]:
    """The rows with train made honest: none of its texts is scored in the run. What was left out is noted."""
    import numpy as np

    if "train" not in read:
        return dict(read)
    leaking, found = scored.find(read["train"])
    data.leaks[one.name] = found
    if leaking.all():
        remedy = "give the task other training rows, or leave `data.drop_leaks` out"
        raise EmomtlError(Problem(f"tasks.{one.name}", "every training row has a text of validation or test", remedy))
    if not found.rows:
        return dict(read)
    data.notes.append(f"{one.name}: {found}: left out of training")
    return {**read, "train": read["train"].only(np.flatnonzero(~leaking).tolist())}


def _taxonomy(one: TaskInput, rows: Mapping[str, ReadRows]) -> Taxonomy | None:
    """The task's taxonomy; where it left it open and the head answers with labels, the names in its training rows."""
    if one.task.taxonomy is not None or one.head.answers != "labels":
        return one.task.taxonomy
    names = label_counts(rows["train"].labels) if "train" in rows else {}
    if len(names) < 2:
        found = f"the training rows have {len(names)} label(s)"
        raise EmomtlError(Problem(f"tasks.{one.name}", found, "a task needs at least two; look at `options.label`"))
    return Taxonomy(sorted(names))


def _limited(one: TaskInput, rows: Mapping[str, ReadRows]) -> dict[str, ReadRows]:
    """At most `limit` training and `eval_limit` validation rows: those whose text hashes lowest, in their old order.

    Rows are counted, not examples: a row keeps all of its own, and tasks of one corpus keep the same rows.
    """
    limits = {"train": one.limit, "validation": one.eval_limit}
    return {split: _lowest(part, limits.get(split)) for split, part in rows.items()}


def _lowest(rows: ReadRows, limit: int | None) -> ReadRows:
    import numpy as np

    if limit is None or len(rows.texts) <= limit:
        return rows
    numbers, first = np.unique(rows.numbers, return_index=True)
    places = np.array([stable_fraction(rows.texts[i], seed=1) for i in first])
    kept = numbers[np.argsort(places, kind="stable")[:limit]]
    return rows.only(np.flatnonzero(np.isin(rows.numbers, kept)).tolist())


def keys_of(numbers: Sequence[int]) -> NDArray[np.int64]:
    """A key for each example from the rising numbers of the rows (n,): number * MOST_EXAMPLES + its position in its row."""
    import numpy as np

    found = np.asarray(numbers, dtype=np.int64)
    return found * MOST_EXAMPLES + np.arange(len(found)) - np.searchsorted(found, found)


def _as_split(rows: ReadRows) -> CorpusSplit:
    return CorpusSplit(keys_of(rows.numbers), rows.texts, rows.pairs)


def _positions(split: CorpusSplit, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the examples of these keys stand; keys rise."""
    import numpy as np

    return np.searchsorted(split.keys, keys).astype(np.int64)


def _merge(corpus: Corpus, texts: Mapping[str, CorpusSplit]) -> bool:
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
        pairs = [both[key][1] for key in keys] if old.pairs or new.pairs else None
        merged[split] = CorpusSplit(np.asarray(keys, dtype=np.int64), [both[key][0] for key in keys], pairs)
    for split, union in merged.items():
        for task in corpus.tasks:
            if (task, split) in corpus.rows:
                was = corpus.rows[task, split]
                kept = corpus.splits[split].keys[was.index]
                corpus.rows[task, split] = TaskRows(_positions(union, kept), was.targets)
        corpus.splits[split] = union
    return True


def _targets(one: TaskInput, rows: ReadRows, taxonomy: Taxonomy | None, split: str, bad: Tally) -> NDArray[Any]:
    """Labels to targets; a label that does not fit is a bad row with its place, and counts as unlabelled where it is skipped.

    A row of which several examples have such a label is said once.
    """
    import numpy as np

    missing = one.head.encode(None, taxonomy)
    encoded, said = [], None
    for number, label in zip(rows.numbers, rows.labels, strict=True):
        try:
            encoded.append(one.head.encode(label, taxonomy))
        except EmomtlError as error:
            encoded.append(missing)
            if number != said:
                bad.add(one.name, one.located, split, rows.origin, number, error)
                said = number
    return np.asarray(encoded) if encoded else np.asarray([missing])[:0]


def _published(one: TaskInput, rows: Mapping[str, ReadRows], bad: Tally) -> list[str]:
    """What differs from the figures that the corpus's authors print; sizes are those of the source's own splits."""
    published, notes = one.task.published, []
    if published is None:
        return []
    for split, size in published.sizes.items():
        seen = bad.seen.get((one.name, split), size)
        if seen != size:
            notes.append(f"{one.name}: {split} has {seen:,} rows, {size:,} are published: a part or another release?")
    for split, printed in published.labels.items():
        if split not in rows or len(rows[split].texts) != published.sizes.get(split):
            continue
        counts = label_counts(rows[split].labels)
        wrong = [f"{name} {counts.get(name, 0):,} not {n:,}" for name, n in printed.items() if counts.get(name, 0) != n]
        if wrong:
            notes.append(f"{one.name}: {split} labels differ from the published counts: {', '.join(wrong[:5])}")
    return notes


def label_counts(labels: Sequence[Any]) -> dict[str, int]:
    """How many rows have each label; numbers and missing labels count nowhere."""
    counts: dict[str, int] = {}
    for label in labels:
        for name in (label,) if isinstance(label, str) else label if isinstance(label, (list, tuple)) else ():
            if isinstance(name, str):
                counts[name] = counts.get(name, 0) + 1
    return counts

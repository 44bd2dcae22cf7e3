"""From rows to corpora: each task's `read` over its source, and labels turned into targets.

Tasks that read the same texts of one source share a corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import SPLITS, stable_fraction
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.cache.rows import RowCache
from emomtl.data.corpus import (
    Corpus,
    CorpusSplit,
    TaskData,
    TaskRows,
    keys_of,
    merge,
    positions,
)
from emomtl.data.label_checks import (
    empty_label_problems,
    label_counts,
    learned_names,
    spelling_notes,
    with_unseen,
)
from emomtl.data.leaks import ScoredTexts
from emomtl.data.noise import flip_labels, follow_noise
from emomtl.data.reading import ReadRows, RowPlace, Tally, read_rows
from emomtl.errors import EmomtlError, Problem, UnknownLabel, clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 8192
"""Labels that are turned into targets before these become an array, which takes less memory."""

READ_FOR_TRAINING = ReadOptions()


def read_tasks(tasks: Sequence[BoundTask], options: ReadOptions = READ_FOR_TRAINING) -> TaskData:
    """Read the rows of every task; a source that several tasks share is read once.

    EmomtlError with all problems of all sources. The cache is used where `options.note` is given
    and leaks are kept: which rows leak depends on every source, and an entry holds one.
    """
    by_source: dict[str, list[BoundTask]] = {}
    for task in tasks:
        by_source.setdefault(task.rows_source.identity, []).append(task)
    cache = None
    if options.note is not None and options.leaks == "keep":
        cache = RowCache(options, read_tasks)
    data_by_source: dict[str, TaskData] = {}
    readings: dict[str, SourceReading] = {}
    for identity, members in by_source.items():
        cached = None if cache is None else cache.find(members)
        if cached is None:
            readings[identity] = SourceReading(members, options)
        else:
            data_by_source[identity] = cached
    for reading in readings.values():
        reading.read()
    scored = None
    if options.leaks != "keep":
        rows = {name: part for reading in readings.values() for name, part in reading.rows.items()}
        scored = ScoredTexts(rows)
    for identity, reading in readings.items():
        reading.add_tasks(scored)
        data_by_source[identity] = reading.data
        if cache is not None and not reading.problems and not reading.tally.skipped:
            cache.keep(reading.tasks, reading.data)
    problems = [problem for reading in readings.values() for problem in reading.problems]
    if problems:
        raise EmomtlError(*problems)
    return _joined(tasks, data_by_source)


def _joined(tasks: Sequence[BoundTask], data_by_source: Mapping[str, TaskData]) -> TaskData:
    """What was read from each source, in the order of the tasks."""
    joined = TaskData([], {task.name: None for task in tasks}, {})
    for identity in dict.fromkeys(task.rows_source.identity for task in tasks):
        members = [task for task in tasks if task.rows_source.identity == identity]
        data = data_by_source[identity]
        joined.corpora += data.corpora
        joined.notes += data.notes
        joined.taxonomies |= data.taxonomies
        joined.fingerprints |= data.fingerprints
        joined.counted |= data.counted
        joined.leaks |= data.leaks
        joined.noise |= data.noise
        joined.unseen |= data.unseen
        joined.bad |= data.bad
        # Never cached: another file may lie beside the source at the next start.
        names = ", ".join(task.name for task in members)
        joined.notes += [f"{names}: {note}" for note in members[0].rows_source.notes]
        sensitive = any(task.task.sensitive for task in members)
        for corpus in data.corpora:
            corpus.sensitive = sensitive
    return joined


class SourceReading:
    """The tasks of one source while it is read.

    First `read` fills `rows` (by task and split) and `tally`, then `add_tasks` turns rows into the
    corpora and targets of `data`. Both collect `problems` and raise none.
    """

    def __init__(self, tasks: Sequence[BoundTask], options: ReadOptions) -> None:
        sensitive = [task for task in tasks if task.task.sensitive]
        self.tasks, self.options = tasks, options
        self.located = (sensitive or tasks)[0].rows_source  # a sensitive one's errors quote nothing
        self.tally = Tally(options.on_bad_row, bool(sensitive))
        self.rows: dict[str, dict[str, ReadRows]] = {}
        self.data = TaskData([], {task.name: None for task in tasks}, {})
        self.problems: list[Problem] = []

    def read(self) -> None:
        """Read the rows of all tasks in one pass."""
        splits = self.options.splits if self.options.leaks == "keep" else SPLITS
        try:
            tasks = {task.name: task.task for task in self.tasks}
            self.rows = read_rows(tasks, self.located, splits, self.tally)
        except EmomtlError as error:
            self._add_problems(error)

    def add_tasks(self, scored: ScoredTexts | None) -> None:
        """Turn the rows into corpora and targets; `scored` are the texts of validation and test."""
        # A task that follows another's label noise comes after that one.
        ordered = sorted(self.tasks, key=lambda task: task.table.label_noise_from is not None)
        try:
            for task in ordered if self.rows else ():
                self._add(task, scored)
        except EmomtlError as error:
            self._add_problems(error)
        self.problems += self.tally.problems
        self.data.notes += self.tally.notes

    def _add_problems(self, error: EmomtlError) -> None:
        known = self.tally.problems
        self.problems += [problem for problem in error.problems if problem not in known]

    def _add(self, task: BoundTask, scored: ScoredTexts | None) -> None:
        """Put a task's rows into the corpus whose texts they share, else into a new one."""
        data, name = self.data, task.name
        rows = {s: part for s, part in self.rows[name].items() if s in self.options.splits}
        self._check(task, rows)
        taxonomy = data.taxonomies[name] = _taxonomy(task, rows)
        if task.head.answers == "labels" and not task.task.sensitive:
            data.notes += [f"{name}: {line}" for line in spelling_notes(rows)]
        data.notes += [f"{name}: {line}" for line in self._split_notes(task, rows)]
        # Leaks are dropped first, so that a limit counts rows that are trained on.
        if scored is not None and self.options.leaks == "drop" and "train" in rows:
            rows["train"] = self._without_leaks(task, rows["train"], scored)
        for split, part in rows.items():
            rows[split] = _lowest_hashes(part, self.options.limit(task, split))
        if scored is not None and self.options.leaks == "count" and "train" in rows:
            data.leaks[name] = scored.find(rows["train"])[1]
        texts, targets = {}, {}
        for split, part in rows.items():
            texts[split] = CorpusSplit(keys_of(part.numbers), part.texts, part.pairs)
            targets[split] = self._targets(task, split, part, taxonomy)
        if "train" in texts and self.options.label_noise and task.has_noisy_labels:
            keys = texts["train"].keys.tolist()
            targets["train"] = self._noisy(task, targets["train"], keys, taxonomy)
        corpus = self._corpus(task, texts)
        for split, examples in texts.items():
            places = positions(corpus.splits[split], examples.keys)
            corpus.rows[name, split] = TaskRows(places, targets[split])
        data.fingerprints[name] = self.located.fingerprint()
        data.counted[name] = self.tally.counted(name)
        data.bad |= {key: counts for key, counts in self.tally.bad.items() if key[0] == name}

    def _check(self, task: BoundTask, rows: Mapping[str, ReadRows]) -> None:
        """Refuse a task without training rows, and one whose empty labels could mean two things."""
        if self.options.need_train and not (rows.get("train") and rows["train"].texts):
            if self.tally.problems:  # bad rows are the reason
                raise EmomtlError(*self.tally.problems)
            found = f"no training rows in {self.located.layout}"
            raise EmomtlError(Problem(f"tasks.{task.name}", found, "look at `source` and `read`"))
        if problems := empty_label_problems(task.name, task.head, rows):
            raise EmomtlError(*problems)

    def _without_leaks(self, task: BoundTask, train: ReadRows, scored: ScoredTexts) -> ReadRows:
        """The training rows without those whose text is scored."""
        import numpy as np

        leaking, leaks = scored.find(train)
        self.data.leaks[task.name] = leaks
        if not leaks.rows:
            return train
        if leaking.all():
            found = "every training row has a text of validation or test"
            remedy = "give the task other training rows, or leave `data.drop_leaks` out"
            raise EmomtlError(Problem(f"tasks.{task.name}", found, remedy))
        self.data.notes.append(f"{task.name}: {leaks}: left out of training")
        return train.only(np.flatnonzero(~leaking).tolist())

    def _noisy(
        self, task: BoundTask, targets: NDArray[Any], keys: list[int], taxonomy: Taxonomy | None
    ) -> NDArray[Any]:
        """Training targets with the task's own label noise, or with that of another task."""
        data, followed = self.data, task.table.label_noise_from
        if followed is None:
            seed = self.options.seed
            noisy, noise, moves = flip_labels(task, targets, keys, taxonomy, seed)
            data.moves[task.name] = moves
        else:
            noisy, noise = follow_noise(task, targets, keys, data.moves[followed])
        data.noise[task.name] = noise
        data.notes.append(f"{task.name}: {noise}")
        return noisy

    def _corpus(self, task: BoundTask, texts: Mapping[str, CorpusSplit]) -> Corpus:
        """The corpus of a task's texts: one that has the same texts, else a new one."""
        for corpus in self.data.corpora:
            if corpus.max_tokens != task.max_tokens:
                lengths = f"{_length(corpus.max_tokens)} and {_length(task.max_tokens)}"
                note = f"{corpus.name} and {task.name} read one source at {lengths}"
                self.data.notes.append(f"{note}: the encoder reads its texts twice")
            elif merge(corpus, texts):
                return corpus
        corpus = Corpus(task.name, self.located.identity, dict(texts), max_tokens=task.max_tokens)
        self.data.corpora.append(corpus)
        return corpus

    def _targets(
        self, task: BoundTask, split: str, rows: ReadRows, taxonomy: Taxonomy | None
    ) -> NDArray[Any]:
        """The targets (n, ...) of a split's labels.

        A label that does not fit is a bad row; where bad rows are skipped it counts as unlabelled.
        A row of which several examples have such a label is one bad row.
        """
        import numpy as np

        if split in self.options.unseen_in and taxonomy is not None:
            taxonomy = self._with_unseen(task, split, rows, taxonomy)
        unlabelled = task.head.encode(None, taxonomy)
        last_bad = None
        chunks: list[NDArray[Any]] = []
        encoded: list[Any] = []
        for number, label in zip(rows.numbers, rows.labels, strict=True):
            if len(encoded) == CHUNK:
                chunks.append(np.asarray(encoded))
                encoded = []
            try:
                encoded.append(task.head.encode(label, taxonomy))
            except EmomtlError as error:
                encoded.append(unlabelled)
                if number != last_bad:
                    last_bad = number
                    place = RowPlace(task.name, self.located, split, rows.origin, number)
                    self.tally.add(place, _explained(error, task, taxonomy), unfit=True)
        if encoded:
            chunks.append(np.asarray(encoded))
        return np.concatenate(chunks) if chunks else np.asarray([unlabelled])[:0]

    def _with_unseen(
        self, task: BoundTask, split: str, rows: ReadRows, taxonomy: Taxonomy
    ) -> Taxonomy:
        """The taxonomy with the labels of a split that the model lacks, which a note names."""
        extended = with_unseen(taxonomy, rows.labels, task.name, task.task.sensitive)
        unseen = extended.names[len(taxonomy) :]
        if unseen:
            self.data.unseen[task.name, split] = unseen
            shown = ", ".join(f"'{clean(label, 40)}'" for label in unseen[:8])
            lacking = f"{len(unseen)} label(s) that the model does not have: {shown}"
            note = f"{task.name}: {split} has {lacking}; such rows count as wrong"
            self.data.notes.append(note)
        return extended

    def _split_notes(self, task: BoundTask, rows: Mapping[str, ReadRows]) -> Iterator[str]:
        """The splits that the task made, and what differs from what the corpus's authors print."""
        made = []
        for split in SPLITS:
            if count := self.tally.made.get((task.name, split), 0):
                made.append(f"{split} ({count:,} rows)")
        if made:
            whole = self.located.splits == ("all",)
            whose = "the rows, which have no splits" if whole else "its training rows"
            yield f"{' and '.join(made)} made of {whose}, by a hash of each text"
        published = task.task.published
        if published is None:
            return
        for split, size in published.sizes.items():
            seen = self.tally.seen.get((task.name, split), size)
            if seen != size:
                sizes = f"{split} has {seen:,} rows, {size:,} are published"
                yield f"{sizes}: a part or another release?"
        for split, counts in published.labels.items():
            if split not in rows or len(rows[split].texts) != published.sizes.get(split):
                continue
            ours = label_counts(rows[split].labels)
            different = [
                f"{label} {ours.get(label, 0):,} not {count:,}"
                for label, count in counts.items()
                if ours.get(label, 0) != count
            ]
            if different:
                shown = ", ".join(different[:5])
                yield f"{split} labels differ from the published counts: {shown}"


def _length(max_tokens: int | None) -> str:
    return "the encoder's max_tokens" if max_tokens is None else f"{max_tokens} tokens"


def _taxonomy(task: BoundTask, rows: Mapping[str, ReadRows]) -> Taxonomy | None:
    """The task's taxonomy; one that is left open is learned from the labels of training rows."""
    if task.taxonomy is not None or task.head.answers != "labels":
        return task.taxonomy
    names = learned_names(rows["train"].labels) if "train" in rows else []
    if len(names) < 2:
        found = f"the training rows have {len(names)} label(s)"
        remedy = "a task needs at least two; look at `options.label`"
        raise EmomtlError(Problem(f"tasks.{task.name}", found, remedy))
    return Taxonomy(names)


def _lowest_hashes(rows: ReadRows, limit: int | None) -> ReadRows:
    """At most `limit` rows, those whose text hashes lowest, in their order.

    So the choice does not depend on the order of rows. Rows are counted, not examples: a row keeps
    all of its own, and tasks of one corpus keep the same rows.
    """
    import numpy as np

    if limit is None or len(rows.texts) <= limit:
        return rows
    numbers, first = np.unique(rows.numbers, return_index=True)
    hashes = np.array([stable_fraction(rows.texts[i], seed=1) for i in first])
    chosen = numbers[np.argsort(hashes, kind="stable")[:limit]]
    return rows.only(np.flatnonzero(np.isin(rows.numbers, chosen)).tolist())


def _explained(error: EmomtlError, task: BoundTask, taxonomy: Taxonomy | None) -> EmomtlError:
    """The error for a label; where labels were learned, a label may be right and just new."""
    if not isinstance(error, UnknownLabel) or taxonomy is None:
        return error
    if task.table.learned_labels is not None:
        remedy = "the run's training rows do not have it; "
        remedy += "`emomtl eval --unseen-labels wrong` counts such rows as wrong"
    elif task.taxonomy is None:
        known = ", ".join(map(clean, taxonomy.names[:12]))
        remedy = f"no training row has it, and the labels were learned from those: {known}; "
        remedy += "give all in `options.labels`"
    else:
        return error
    return EmomtlError(*(replace(problem, remedy=remedy) for problem in error.problems))

"""From rows to corpora: every task's `read` over its source, tasks of one source merged, labels turned into targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.sources import SPLITS, stable_fraction
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.cache.rows import RowCache
from emomtl.data.corpus import Corpus, CorpusSplit, TaskData, TaskRows, keys_of, merge, positions
from emomtl.data.label_checks import check_empty, label_counts, learned_names, spelling_notes, with_unseen
from emomtl.data.leaks import Scored
from emomtl.data.noise import flipped, followed
from emomtl.data.reading import ReadRows, Tally, read_rows
from emomtl.data.task_input import TaskInput
from emomtl.errors import EmomtlError, Problem, UnknownLabel, clean

if TYPE_CHECKING:
    from numpy.typing import NDArray


LeakPolicy = Literal["keep", "count", "drop"]
"""What becomes of training rows whose text is scored: nothing, they are counted, or they are left out."""

ENCODED = 8192
"""Labels that are turned into targets before these become an array."""


def read_tasks(
    inputs: Sequence[TaskInput],
    splits: Sequence[str] = SPLITS,
    on_bad_row: str = "stop",
    need_train: bool = True,
    leaks: LeakPolicy = "keep",
    note: Callable[[str], None] | None = None,
) -> TaskData:
    """Read every task; sources that several tasks share are read once. All problems come in one error.

    With `leaks` "count" or "drop", training rows whose text stands in validation or test of any of the tasks are
    counted, or left out before `limit` chooses; validation and test are read for that, whole, whatever `splits` says.
    With `note`, which hears of trouble with it, the row cache is used (unless leaks are looked for).
    """
    problems: list[Problem] = []
    by_source: dict[str, list[TaskInput]] = {}
    for one in inputs:
        by_source.setdefault(one.located.identity, []).append(one)
    cache = None
    if note is not None and leaks == "keep":
        anew = partial(read_tasks, splits=splits, on_bad_row=on_bad_row, need_train=need_train)
        cache = RowCache(note, anew, [list(splits), on_bad_row, need_train])
    pieces = {source: kept for source, members in by_source.items() if cache is not None and (kept := cache.find(members))}
    by_source = {source: members for source, members in by_source.items() if source not in pieces}
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
        bad, piece = tallies[source], TaskData([], {one.name: None for one in members}, {})
        try:
            # a task that follows another's label noise comes after it
            for one in sorted(members, key=lambda one: one.noise_from is not None) if members[0].name in found else ():
                rows = {split: part for split, part in found[one.name].items() if split in splits}
                _add(piece, one, rows, bad, need_train, scored)
        except EmomtlError as error:
            problems += [problem for problem in error.problems if problem not in bad.problems]
        problems += bad.problems
        piece.notes += bad.notes
        pieces[source] = piece
        if cache is not None and not problems and not bad.skipped:
            cache.keep(members, piece)
    if problems:
        raise EmomtlError(*problems)
    return _together(inputs, pieces)


def _together(inputs: Sequence[TaskInput], pieces: Mapping[str, TaskData]) -> TaskData:
    """What was read from each source, in the order of the tasks."""
    data = TaskData([], {one.name: None for one in inputs}, {})
    for source in dict.fromkeys(one.located.identity for one in inputs):
        piece = pieces[source]
        data.corpora += piece.corpora
        data.notes += piece.notes
        data.taxonomies |= piece.taxonomies
        data.fingerprints |= piece.fingerprints
        data.counted |= piece.counted
        data.leaks |= piece.leaks
        data.noise |= piece.noise
        data.unseen |= piece.unseen
        data.bad |= piece.bad
        located = next(one.located for one in inputs if one.located.identity == source)
        names = ", ".join(one.name for one in inputs if one.located.identity == source)
        data.notes += [f"{names}: {note}" for note in located.notes]  # never cached: another file may lie there
    sensitive = {one.located.identity for one in inputs if one.task.sensitive}
    for corpus in data.corpora:
        corpus.sensitive = corpus.identity in sensitive
    return data


def _add(
    data: TaskData, one: TaskInput, read: Mapping[str, ReadRows], bad: Tally, need_train: bool, scored: Scored | None
) -> None:
    """Put a task's rows into the corpus whose texts they share, else into a new one."""
    if need_train and not (read.get("train") and read["train"].texts):
        if bad.problems:  # that is why
            raise EmomtlError(*bad.problems)
        raise EmomtlError(
            Problem(f"tasks.{one.name}", f"no training rows in {one.located.layout}", "look at `source` and `read`")
        )
    if problems := check_empty(one.name, one.head, read):
        raise EmomtlError(*problems)
    taxonomy = data.taxonomies[one.name] = _taxonomy(one, read)
    if one.head.answers == "labels" and not one.task.sensitive:
        data.notes += [f"{one.name}: {line}" for line in spelling_notes(read)]
    data.notes += [*_made(one, bad), *_published(one, read, bad)]
    rows = _limited(one, read if scored is None or not scored.drop else _without_leaks(data, one, read, scored))
    if scored is not None and not scored.drop and "train" in rows:
        data.leaks[one.name] = scored.find(rows["train"])[1]
    targets = {}
    for split, read_part in rows.items():
        known = taxonomy
        if split in one.unseen_in and taxonomy is not None:
            known = with_unseen(taxonomy, read_part.labels, one.name, one.task.sensitive)
            data.notes += _unseen(data, one.name, split, known.names[len(taxonomy) :])
        targets[split] = _targets(one, read_part, known, split, bad)
    texts = {split: _as_split(part) for split, part in rows.items()}
    if "train" in texts and (one.label_noise or one.noise_from is not None):
        targets["train"] = _noisy(data, one, targets["train"], texts["train"].keys.tolist(), taxonomy)
    for corpus in data.corpora:
        if corpus.identity != one.located.identity:
            continue
        if corpus.max_tokens != one.max_tokens:
            lengths = " and ".join(_length(some) for some in (corpus.max_tokens, one.max_tokens))
            data.notes.append(f"{corpus.name} and {one.name} read one source at {lengths}: the encoder reads its texts twice")
        elif merge(corpus, texts):
            break
    else:
        corpus = Corpus(one.name, one.located.identity, dict(texts), max_tokens=one.max_tokens)
        data.corpora.append(corpus)
    for split, part in texts.items():
        corpus.rows[one.name, split] = TaskRows(positions(corpus.splits[split], part.keys), targets[split])
    data.fingerprints[one.name] = one.located.fingerprint()
    data.counted[one.name] = bad.counted(one.name)
    data.bad |= {key: counted for key, counted in bad.bad.items() if key[0] == one.name}


def _noisy(data: TaskData, one: TaskInput, targets: NDArray[Any], keys: list[int], taxonomy: Taxonomy | None) -> NDArray[Any]:
    """The training targets with the task's own label noise, or with that of the task whose noise it follows."""
    if one.noise_from is None:
        targets, data.noise[one.name], data.moves[one.name] = flipped(one, targets, keys, taxonomy)
    else:
        targets, data.noise[one.name] = followed(one, targets, keys, data.moves[one.noise_from])
    data.notes.append(f"{one.name}: {data.noise[one.name]}")
    return targets


def _length(max_tokens: int | None) -> str:
    return "the encoder's max_tokens" if max_tokens is None else f"{max_tokens} tokens"


def _unseen(data: TaskData, name: str, split: str, unseen: tuple[str, ...]) -> list[str]:
    """Keep the labels of a split that the model does not have; gives a line that names them."""
    if not unseen:
        return []
    data.unseen[name, split] = unseen
    shown = ", ".join(f"'{clean(label, 40)}'" for label in unseen[:8])
    return [f"{name}: {split} has {len(unseen)} label(s) that the model does not have: {shown}; such rows count as wrong"]


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
    names = learned_names(rows["train"].labels) if "train" in rows else []
    if len(names) < 2:
        found = f"the training rows have {len(names)} label(s)"
        raise EmomtlError(Problem(f"tasks.{one.name}", found, "a task needs at least two; look at `options.label`"))
    return Taxonomy(names)


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


def _as_split(rows: ReadRows) -> CorpusSplit:
    return CorpusSplit(keys_of(rows.numbers), rows.texts, rows.pairs)


def _targets(one: TaskInput, rows: ReadRows, taxonomy: Taxonomy | None, split: str, bad: Tally) -> NDArray[Any]:
    """Labels to targets; a label that does not fit is a bad row with its place, and counts as unlabelled where it is skipped.

    A row of which several examples have such a label is said once.
    """
    import numpy as np

    missing, said = one.head.encode(None, taxonomy), None
    chunks: list[NDArray[Any]] = []
    encoded: list[Any] = []
    for number, label in zip(rows.numbers, rows.labels, strict=True):
        if len(encoded) == ENCODED:
            chunks.append(np.asarray(encoded))
            encoded = []
        try:
            encoded.append(one.head.encode(label, taxonomy))
        except EmomtlError as error:
            if isinstance(error, UnknownLabel) and taxonomy is not None:
                error = _with_learned(error, one, taxonomy)
            encoded.append(missing)
            if number != said:
                bad.add(one.name, one.located, split, rows.origin, number, error, unfit=True)
                said = number
    if encoded:
        chunks.append(np.asarray(encoded))
    return np.concatenate(chunks) if chunks else np.asarray([missing])[:0]


def _with_learned(error: UnknownLabel, one: TaskInput, taxonomy: Taxonomy) -> EmomtlError:
    """The error; where the taxonomy was learned, with that: the label may be right, and stand in no training row."""
    if one.learned:
        remedy = "the run's training rows do not have it; `emomtl eval --unseen-labels wrong` counts such rows as wrong"
        return EmomtlError(*(replace(problem, remedy=remedy) for problem in error.problems))
    if one.task.taxonomy is not None:
        return error
    known = f"no training row has it, and the labels were learned from those: {', '.join(map(clean, taxonomy.names[:12]))}"
    return EmomtlError(*(replace(problem, remedy=f"{known}; give all in `options.labels`") for problem in error.problems))


def _made(one: TaskInput, bad: Tally) -> list[str]:
    """The splits that the source lacks and the task made, with their rows."""
    made = {split: bad.made[one.name, split] for split in SPLITS if (one.name, split) in bad.made}
    if not made:
        return []
    counted = " and ".join(f"{split} ({count:,} rows)" for split, count in made.items())
    whose = "the rows, which have no splits" if one.located.splits == ("all",) else "its training rows"
    return [f"{one.name}: {counted} made of {whose}, by a hash of each text"]


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

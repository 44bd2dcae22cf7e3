"""The texts that are looked at, cut into words, with the labels whose log-odds are explained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem
from emomtl.lexicon import NEUTRAL, not_cut, token_spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.analyses.attribution.words import WordList
    from emomtl.analyses.space.vectors import Question
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.corpus import CorpusSplit
    from emomtl.inference.trained import TrainedRun

HOLDS = 0.5
"""A soft value from which a label counts as one of the text's."""


@dataclass(frozen=True)
class Unit:
    """A word of a text, or a run of other signs: `word` in lower case, its text of a pair (0 or 1), and its characters there."""

    word: str
    side: int
    start: int
    end: int


@dataclass(frozen=True)
class Chosen:
    """n texts with the places of their labels, neutral left out; `rows` of the split had such a label, `able` words to compare.

    They are held while they are encoded, and for examples.
    """

    split: CorpusSplit
    labels: list[list[int]]
    rows: int
    able: int
    sensitive: bool

    def same_as(self, other: Chosen) -> bool:
        """Whether both have the same texts with the same labels."""
        mine, theirs = self.split, other.split
        return list(mine.texts) == list(theirs.texts) and mine.pairs == theirs.pairs and self.labels == other.labels


def units_of(text: str, side: int = 0) -> list[Unit]:
    """The words of a text as emomtl's lexica count them, and the runs of other signs without a space between them, in order."""
    found, at = [], 0
    for word, start, end in [*token_spans(text), ("", len(text), len(text))]:
        run = at
        for place in range(at, start + 1):
            if place == start or text[place].isspace():
                if place > run:
                    found.append(Unit(text[run:place].lower(), side, run, place))
                run = place + 1
        if word:
            found.append(Unit(word, side, start, end))
        at = end
    return found


def units_of_row(split: CorpusSplit, row: int) -> list[Unit]:
    """The words of both texts of a row."""
    pair = units_of(split.pairs[row], 1) if split.pairs else []
    return [*units_of(split.texts[row]), *pair]


def choose(trained: TrainedRun, task: str, question: Question, words: WordList, notes: list[str]) -> Chosen:
    """The rows of the split that have a label other than neutral, a known emotion word and another word; at most `limit`.

    EmomtlError where there are fewer than three.
    """
    import numpy as np

    from emomtl.contracts.sources import stable_fraction

    data = trained.read_split(question.split, [task], question.sources, question.allow_changed)
    notes += data.notes
    rows, corpus, taxonomy = data.rows(task, question.split), data.corpus(task), data.taxonomies[task]
    assert taxonomy is not None
    targets = trained.plan.tasks[task].head.decided(rows.targets)
    held, labels = corpus.splits[question.split], labels_of(targets, taxonomy)
    if line := not_cut(held.texts):
        notes.append(f"{task}: {line}")
    labelled = [place for place in range(len(rows)) if labels[place]]
    able = [place for place in labelled if _comparable(held, int(rows.index[place]), words)]
    if len(able) < 3:
        found = f"{len(able)} of {len(rows):,} {question.split} rows have a label, an emotion word and another word"
        raise EmomtlError(Problem(f"tasks.{task}", found, "name another list of words with --words"))
    hashes = np.array([stable_fraction(held.texts[rows.index[place]], question.seed) for place in able])
    taken = [able[place] for place in np.sort(np.argsort(hashes, kind="stable")[: question.limit])]
    at = rows.index[taken]
    pairs = [held.pairs[i] for i in at] if held.pairs is not None else None
    split = replace(held, keys=held.keys[at], texts=[held.texts[i] for i in at], pairs=pairs)
    return Chosen(split, [labels[place] for place in taken], len(labelled), len(able), corpus.sensitive)


def check_examples(task: str, chosen: Chosen) -> None:
    """Raise `EmomtlError` where texts must not be shown."""
    if chosen.sensitive:
        said = f"'{task}' is marked as sensitive: its texts are shown nowhere"
        raise EmomtlError(Problem("--examples", said, "leave --examples out"))


def labels_of(targets: NDArray[Any], taxonomy: Taxonomy) -> list[list[int]]:
    """The places of each row's labels (n, ...), neutral left out; unknown ones are none."""
    import numpy as np

    if targets.ndim == 1:
        rows = [[int(label)] if label >= 0 else [] for label in targets]
    else:
        rows = [np.flatnonzero(row >= HOLDS).tolist() for row in np.nan_to_num(targets)]
    return [[label for label in row if taxonomy.names[label] != NEUTRAL] for row in rows]


def known(units: list[Unit], words: WordList) -> NDArray[np.bool_]:
    """Which units are known emotion words."""
    import numpy as np

    return np.array([unit.word in words.words for unit in units], bool)


def _comparable(split: CorpusSplit, row: int, words: WordList) -> bool:
    """Whether a row has both a known emotion word and something else."""
    found = known(units_of_row(split, row), words)
    return bool(found.any() and not found.all())

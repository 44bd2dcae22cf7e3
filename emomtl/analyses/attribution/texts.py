"""The texts that are looked at, cut into words, with the labels whose log-odds are explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.runs import lowest_hashes, take
from emomtl.errors import EmomtlError, Problem
from emomtl.lexicon import NEUTRAL, not_cut, token_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.attribution import AttributionAnalysis
    from emomtl.analyses.attribution.words import WordList
    from emomtl.analyses.runs import RunFolder
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.corpus import CorpusSplit
    from emomtl.inference.trained import TrainedRun

HOLDS = 0.5
"""A soft value from which a label counts as one of the text's."""


@dataclass(frozen=True)
class Unit:
    """A word of a text, or a run of other signs: `word` in lower case, its text of a pair (0 or 1),
    and its characters there.
    """

    word: str
    side: int
    start: int
    end: int


@dataclass(frozen=True)
class Chosen:
    """n texts with the places of their labels, neutral left out; `rows` of the split had such a
    label, `able` words to compare.

    They are held while they are encoded, and for examples.
    """

    split: CorpusSplit
    labels: list[list[int]]
    rows: int
    able: int
    sensitive: bool


def units_of(text: str, side: int = 0) -> list[Unit]:
    """The words of a text as emomtl's lexica count them, and the runs of other signs without a
    space between them, in order.
    """
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


def choose(
    run: RunFolder,
    trained: TrainedRun,
    task: str,
    options: AttributionAnalysis,
    words: WordList,
    notes: list[str],
) -> Chosen:
    """The rows with a label other than neutral, a known emotion word and another word.

    At most `limit` of them. EmomtlError where there are fewer than three.
    """
    data = run.read(trained, options.split, [task])
    notes += data.notes
    rows, corpus, taxonomy = (
        data.rows(task, options.split),
        data.corpus(task),
        data.taxonomies[task],
    )
    assert taxonomy is not None
    texts = corpus.splits[options.split]
    if line := not_cut(texts.texts):
        notes.append(f"{task}: {line}")
    labels = labels_of(trained.plan.tasks[task].head.decided(rows.targets), taxonomy)
    labelled = [place for place in range(len(rows)) if labels[place]]
    able = np.array([p for p in labelled if _comparable(texts, int(rows.index[p]), words)], int)
    if len(able) < 3:
        found = (
            f"{len(able)} of {len(rows):,} {options.split} rows have a label, an emotion word and"
            " another word"
        )
        remedy = "name another list of words with --words"
        raise EmomtlError(Problem(f"tasks.{task}", found, remedy))
    taken = able[lowest_hashes(texts, rows.index[able], options.limit, options.seed)]
    return Chosen(
        take(texts, rows.index[taken]),
        [labels[place] for place in taken],
        len(labelled),
        len(able),
        corpus.sensitive,
    )


def check_examples(task: str, chosen: Chosen) -> None:
    """Raise `EmomtlError` where texts must not be shown."""
    if chosen.sensitive:
        said = f"'{task}' is marked as sensitive: its texts are shown nowhere"
        raise EmomtlError(Problem("--examples", said, "leave --examples out"))


def labels_of(targets: NDArray[Any], taxonomy: Taxonomy) -> list[list[int]]:
    """The places of each row's labels (n, ...), neutral left out; unknown ones are none."""
    if targets.ndim == 1:
        rows = [[int(label)] if label >= 0 else [] for label in targets]
    else:
        rows = [np.flatnonzero(row >= HOLDS).tolist() for row in np.nan_to_num(targets)]
    return [[label for label in row if taxonomy.names[label] != NEUTRAL] for row in rows]


def known(units: list[Unit], words: WordList) -> NDArray[np.bool_]:
    """Which units are known emotion words."""
    return np.array([unit.word in words.words for unit in units], bool)


def _comparable(split: CorpusSplit, row: int, words: WordList) -> bool:
    """Whether a row has both a known emotion word and something else."""
    found = known(units_of_row(split, row), words)
    return bool(found.any() and not found.all())

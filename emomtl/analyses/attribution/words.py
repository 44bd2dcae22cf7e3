"""Known emotion words: of the labels' definitions, a lexicon of training rows, or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem
from emomtl.lexicon import NEUTRAL, Lexicon, tokens

if TYPE_CHECKING:
    from emomtl.contracts.feature import TrainingRows

DEFINITIONS, LEXICON = "definitions", "lexicon"
"""The lists that need no file."""

WORDS_PER_LABEL = 10
"""Words of each label that a lexicon gives, the best first."""

MOST_BYTES = 10_000_000
"""Bytes of a file of words; the largest published lists have some three million."""

COMMON = 2
"""Definitions that a word may stand in; one of more, such as "writer", tells no emotion."""

GENERAL = frozenset(
    {
        *(
            "asks",
            "close",
            "deed",
            "did",
            "does",
            "edge",
            "end",
            "gets",
            "going",
            "gone",
            "happen",
            "happening",
            "know",
            "known",
            "let",
            "looks",
            "make",
            "meant",
        ),
        *(
            "notices",
            "offers",
            "people",
            "person",
            "says",
            "takes",
            "thing",
            "things",
            "thinks",
            "turned",
            "want",
            "wants",
            "way",
            "word",
        ),
    }
)
"""Words of definitions that tell no emotion, beside scikit-learn's stop words and those of
neutral's definition; chosen by us.
"""

HEADINGS = frozenset({"word", "words", "term", "label"})
"""First cells, in any case, by which a file's first line is known to name its columns."""


@dataclass(frozen=True)
class WordList:
    """Words in lower case, and in words where they are from."""

    words: frozenset[str]
    source: str


def definition_words(taxonomy: Taxonomy) -> WordList:
    """Names of labels and words of their definitions, but for stop words, general ones, and those
    of neutral's definition.

    A list that depends on no row of any corpus. EmomtlError where nothing is left, as no label has
    a definition.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    labels = [label for label in taxonomy.labels if label.name != NEUTRAL]
    often = Counter(word for label in taxonomy.labels for word in set(tokens(label.definition)))
    plain = {
        word
        for label in taxonomy.labels
        if label.name == NEUTRAL
        for word in tokens(label.definition)
    }
    defined = {
        word for label in labels for word in tokens(label.definition) if often[word] <= COMMON
    }
    named = {word for label in labels for word in tokens(label.name)}
    words = (defined - plain - GENERAL) | named
    found = frozenset(_words(words) - ENGLISH_STOP_WORDS)
    if not found:
        remedy = f"--words {LEXICON}, or a file with emotion words"
        raise EmomtlError(
            Problem(
                "--words",
                "neither names nor definitions of the labels have a word to look for",
                remedy,
            )
        )
    return WordList(found, "names and definitions of the labels")


def lexicon_words(rows: TrainingRows, per_label: int = WORDS_PER_LABEL) -> WordList:
    """The first words of each label but neutral in a mixture lexicon of training rows, without stop
    words.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    lexicon = Lexicon.learn(rows)
    top = {
        word
        for label in rows.labels
        if label != NEUTRAL
        for word, _, _ in lexicon.top(label, per_label)
    }
    said = (
        f"the first {per_label} words of each label in a lexicon of {len(rows.texts):,} training"
        " rows"
    )
    return WordList(frozenset(_words(top) - ENGLISH_STOP_WORDS), said)


def file_words(path: Path) -> WordList:
    """The first cell of each line of a text file, cells parted by tabs; entries of several words
    are passed over.

    A line of three cells whose last is 0 says that a word has not the emotion in the second (as
    EmoLex does), and is no entry. EmomtlError where the file does not read or holds no word.
    """
    from emomtl.safety.files import storage

    with storage(path, "read"), path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise EmomtlError(
            Problem(
                "--words", f"{path} is larger than {MOST_BYTES:,} bytes", "a list of emotion words"
            )
        )
    try:
        lines = StringIO(data.decode("utf-8-sig"), newline=None)
    except UnicodeDecodeError as error:
        raise EmomtlError(
            Problem("--words", f"{path} is no text in UTF-8", "one word a line, or a TSV file")
        ) from error
    words = _words(_entries(lines))
    if not words:
        raise EmomtlError(
            Problem(
                "--words",
                f"{path} holds no word",
                "one word a line, or a TSV file with words first",
            )
        )
    return WordList(frozenset(words), path.name)


def _entries(lines: Iterable[str]) -> Iterator[str]:
    """The entries of one word; the first line may be a heading."""
    first = True
    for line in lines:
        word, *more = (cell.strip() for cell in line.split("\t", 3))
        if word and word[0] != "#":
            heading, first = first and word.lower() in HEADINGS, False
            entry = [] if heading or (len(more) == 2 and more[1] == "0") else tokens(word)
            if len(entry) == 1:
                yield entry[0]


def _words(found: Iterable[str]) -> set[str]:
    """Without placeholders and runs of ! and ?."""
    return {word for word in found if word.strip("!?") and not word.startswith("[")}

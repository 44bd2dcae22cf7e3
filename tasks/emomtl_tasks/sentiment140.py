"""Sentiment140: 1.6 million tweets labelled by their emoticons, with a test set labelled by hand
(Go et al., 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import annotated_types

from emomtl import (
    Example,
    Files,
    Hub,
    Label,
    Published,
    SingleLabel,
    Split,
    Task,
    TaskFamily,
    Taxonomy,
    hookimpl,
    stable_fraction,
)

LABELS = Taxonomy(
    [
        Label("negative", "The tweet carries a bad mood or opinion."),
        Label("positive", "The tweet carries a good mood or opinion."),
    ]
)

POLARITIES = {0: "negative", 2: "neutral", 4: "positive"}
"""The numbers of the published files; the training rows have 0 and 4 only."""

TRAINING_ROWS = 1_600_000
SUBSET_SEED = 140
"""Another seed than that of `Split`, so that a subset holds training and validation rows in the
same proportion as the whole.
"""

COLUMNS = ("polarity", "id", "date", "query", "user", "text")
TRAIN_CSV = "training.1600000.processed.noemoticon.csv"
TEST_CSV = "testdata.manual.2009.06.14.csv"

SOURCES = (
    Hub(
        "stanfordnlp/sentiment140",
        revision="refs/convert/parquet",
        columns={"sentiment": "polarity"},
    ),
    Files(
        "*",
        splits={"train": TRAIN_CSV, "test": TEST_CSV},
        columns=COLUMNS,
        header=False,
        encoding="latin-1",
    ),
    Files(
        "*",
        splits={
            "train": "train.parquet",
            "test": Files(TEST_CSV, columns=COLUMNS, header=False, encoding="latin-1"),
        },
    ),
)
"""The hub, the published CSV files, and a Parquet copy of train beside the published test CSV.

The hub's own revision is a loading script, which is not run any more; its Parquet branch holds the
same rows. The Parquet copy has the columns text and label (0 negative, 1 positive) where the
published files have the polarity 0, 2 or 4.
"""

CARD = """\
Tweets of April to June 2009, negative or positive after the emoticon that they contained, which was
then removed (distant supervision: Go, Bhayani and Huang, 2009, "Twitter Sentiment Classification
using Distant Supervision"). The test tweets were labelled by hand: 177 negative, 182 positive and
139 neutral; the neutral ones are dropped, 359 remain.

Licence: none is stated; the tweets belong to their writers.

`subset = 160000` keeps about that many training rows, chosen by a hash of each text, so that the
choice depends neither on the order nor on the number of rows; its size is met within a fraction of
a percent, and copies of a text stay or go together. For an exact number of rows, use the manifest's
`limit`.

The corpus has no validation split: 1% of the training texts, chosen by hash, is kept for it.

Known to be wrong: labels are guesses from emoticons; 3,050 texts carry both labels; 13,099 rows
hold broken characters. The published training file is sorted by label, in latin-1, with `&quot;`
and `&amp;` for quotes and ampersands. Copies differ: some are shuffled and write USER and URL for
mentions and links. On 359 test rows, top1_accuracy is known to within 4 points only.
"""


def label_name(row: Mapping[str, Any]) -> str:
    """The label of a row, `neutral` included: by `label` (0, 1) in the Parquet copy, else by
    `polarity` (0, 2, 4).
    """
    if "label" in row:
        return LABELS[int(row["label"])]
    return POLARITIES[int(row["polarity"])]


def is_training_row(row: Mapping[str, Any]) -> bool:
    """Whether the row is one of the 1.6 million: they were collected without a query, every test
    tweet for one.
    """
    return bool(row.get("query", "NO_QUERY") == "NO_QUERY")


@dataclass(frozen=True)
class Sentiment140(TaskFamily):
    """Sentiment140, whole or a stable `subset` of about that many training rows.

    The subset is taken before validation is split off.
    """

    name: ClassVar[str] = "sentiment140"
    subset: Annotated[int, annotated_types.Gt(0), annotated_types.Le(TRAINING_ROWS)] | None = None

    def read(self, row: Mapping[str, Any]) -> Example | None:
        """One tweet; None for a neutral one and for a training row outside the subset."""
        name, text = label_name(row), row["text"]
        if name == "neutral":
            return None
        if self.subset is None or not is_training_row(row):
            return Example(text, name)
        chosen = stable_fraction(text, SUBSET_SEED) < self.subset / TRAINING_ROWS
        return Example(text, name) if chosen else None

    def task(self) -> Task:
        """The task, with the published size where the training rows are whole."""
        sizes = {"test": 359} if self.subset is not None else {"train": TRAINING_ROWS, "test": 359}
        return Task(
            self.name,
            SOURCES,
            self.read,
            LABELS,
            head=SingleLabel(),
            split=Split(validation=0.01),
            published=Published(sizes, labels={"test": {"negative": 177, "positive": 182}}),
            card=CARD,
        )


@hookimpl
def emomtl_tasks() -> list[type[TaskFamily]]:
    return [Sentiment140]

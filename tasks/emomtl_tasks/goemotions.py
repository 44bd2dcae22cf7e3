"""GoEmotions: emotions in Reddit comments, on 28 labels, on Ekman's seven and on four sentiments
(Demszky et al., 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from emomtl import (
    Example,
    Files,
    Hub,
    MultiLabel,
    Published,
    SingleLabel,
    Task,
    TaskFamily,
    Taxonomy,
    hookimpl,
)
from emomtl_tasks.emotions import EKMAN, EMOTIONS, SENTIMENT

SOURCES = (
    Hub(
        "google-research-datasets/go_emotions",
        "simplified",
        revision="add492243ff905527e67aeb8b80c082af02207c3",
    ),
    Files(
        "*",
        splits={"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
        columns=("text", "labels", "id"),
        header=False,
        delimiter="\t",
    ),
    Files(
        "*",
        splits={
            "train": "simplified/train-*.parquet",
            "validation": "simplified/validation-*.parquet",
            "test": "simplified/test-*.parquet",
        },
    ),
)
"""The hub, the folder of TSV files as its authors publish it, and a clone of the hub's repository.

The TSV files follow the rules of CSV: about one row in forty stands in quotes, with its own quotes
doubled.
"""

SIZES = {
    "goemotions": (43_410, 5_426, 5_427),
    "goemotions single-label": (36_308, 4_548, 4_590),
    "goemotions-ekman": (43_410, 5_426, 5_427),
    "goemotions-ekman single-label": (39_555, 4_946, 4_968),
    "goemotions-sentiment": (43_410, 5_426, 5_427),
    "goemotions-sentiment single-label": (40_030, 5_006, 5_027),
}
"""Rows of train, validation and test; a single-label form keeps more of them the coarser the
taxonomy.
"""

# fmt: off
TRAIN_AND_TEST_COUNTS = {
    "admiration": (4130, 504), "amusement": (2328, 264), "anger": (1567, 198),
    "annoyance": (2470, 320), "approval": (2939, 351), "caring": (1087, 135),
    "confusion": (1368, 153), "curiosity": (2191, 284), "desire": (641, 83),
    "disappointment": (1269, 151), "disapproval": (2022, 267), "disgust": (793, 123),
    "embarrassment": (303, 37), "excitement": (853, 103), "fear": (596, 78),
    "gratitude": (2662, 352), "grief": (77, 6), "joy": (1452, 161), "love": (2086, 238),
    "nervousness": (164, 23), "optimism": (1581, 186), "pride": (111, 16),
    "realization": (1110, 145), "relief": (153, 11), "remorse": (545, 56), "sadness": (1326, 156),
    "surprise": (1060, 141), "neutral": (14219, 1787),
}
# fmt: on
"""Rows with each of the 28 labels, in train and in test."""

LABEL_COUNTS = {
    "train": {label: counts[0] for label, counts in TRAIN_AND_TEST_COUNTS.items()},
    "test": {label: counts[1] for label, counts in TRAIN_AND_TEST_COUNTS.items()},
}

CARD = """\
58,000 Reddit comments in English from 2005 to 2019, read by three to five raters; these are the
54,263 comments for which two raters agree on a label (Demszky et al., 2020, "GoEmotions: A Dataset
of Fine-Grained Emotions", ACL). Names and religions were replaced by [NAME] and [RELIGION] before
publication.

Licence: CC BY 4.0.

Forms: the original 28 labels (`goemotions`), Ekman's six with neutral (`goemotions-ekman`) and four
sentiments (`goemotions-sentiment`); a coarse label holds where one of its members does. `form =
"single-label"` keeps the rows that have exactly one label of the taxonomy. Joy of Ekman and
positive sentiment are the same twelve emotions.

Known to be wrong: 43 texts of validation and 37 of test stand in train too, and 58 texts of train
stand there with different labels. Some labels are rare: macro-F1 on test rests on 6 rows of grief,
11 of relief and 16 of pride. The raters, native speakers of English from India, saw short comments
without their context. A reader of the TSV files that splits at tabs leaves doubled quotes in 2.5%
of the texts.
"""


def label_names(labels: str | int | Iterable[int]) -> list[str]:
    """The emotions of a row by name; the corpus stores numbers, as `"2,14"` or a list of ints."""
    if isinstance(labels, int):
        return [EMOTIONS[labels]]
    numbers = labels.split(",") if isinstance(labels, str) else labels
    return [EMOTIONS[int(number)] for number in numbers]


@dataclass(frozen=True)
class _GoEmotions(TaskFamily):
    """One taxonomy over the rows of GoEmotions."""

    taxonomy: ClassVar[Taxonomy]
    grouping: ClassVar[str | None]
    form: Literal["multi-label", "single-label"] = "multi-label"

    def read(self, row: Mapping[str, Any]) -> Example | None:
        """One comment with its labels; None where the form wants one label and it has several."""
        names: Sequence[str] = label_names(row["labels"])
        if self.grouping is not None:
            names = list(EMOTIONS.grouping(self.grouping).fold(names))
        if self.form == "multi-label":
            return Example(row["text"], names)
        return Example(row["text"], names[0]) if len(names) == 1 else None

    def task(self) -> Task:
        """The task over this taxonomy, multi-label or single-label."""
        multi = self.form == "multi-label"
        sizes = SIZES[self.name if multi else f"{self.name} single-label"]
        return Task(
            self.name,
            SOURCES,
            self.read,
            self.taxonomy,
            head=MultiLabel() if multi else SingleLabel(),
            published=Published(
                sizes=dict(zip(("train", "validation", "test"), sizes, strict=True)),
                labels=LABEL_COUNTS if multi and self.grouping is None else {},
            ),
            special_tokens=("[NAME]", "[RELIGION]"),
            card=CARD,
        )


@dataclass(frozen=True)
class GoEmotions(_GoEmotions):
    """GoEmotions on its 27 emotions and neutral."""

    name: ClassVar[str] = "goemotions"
    taxonomy: ClassVar[Taxonomy] = EMOTIONS
    grouping: ClassVar[str | None] = None


@dataclass(frozen=True)
class GoEmotionsEkman(_GoEmotions):
    """GoEmotions on Ekman's six emotions and neutral; the rows are those of `goemotions`."""

    name: ClassVar[str] = "goemotions-ekman"
    taxonomy: ClassVar[Taxonomy] = EKMAN
    grouping: ClassVar[str | None] = "ekman"


@dataclass(frozen=True)
class GoEmotionsSentiment(_GoEmotions):
    """GoEmotions on four sentiments; the rows are those of `goemotions`."""

    name: ClassVar[str] = "goemotions-sentiment"
    taxonomy: ClassVar[Taxonomy] = SENTIMENT
    grouping: ClassVar[str | None] = "sentiment"


@hookimpl
def emomtl_tasks() -> list[type[TaskFamily]]:
    return [GoEmotions, GoEmotionsEkman, GoEmotionsSentiment]

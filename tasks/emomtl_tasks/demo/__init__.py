"""The demo corpus: a small set of made-up comments with emotion labels, so that everything can be
tried without a download.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from emomtl import Example, Files, MultiLabel, Task, Taxonomy, hookimpl
from emomtl_tasks.emotions import EKMAN, EMOTIONS, SENTIMENT

SOURCE = Files(
    str(Path(__file__).resolve().parent),
    splits={"train": "train.tsv", "validation": "validation.tsv", "test": "test.tsv"},
    delimiter="\t",
    quoting="none",
)
"""The three files beside this module: a header, then a text and its labels joined by `|`."""

CARD = """\
Made-up comments on the 28 labels of GoEmotions, written for emomtl: `make_corpus.py` fills names
and places into templates. No line was taken from a corpus or from a person. No template serves two
splits, and some names and places stand in validation and test only.

Licence: Apache-2.0, like emomtl.

It is there to try, test and teach with: the texts are far more regular than what people write, so a
figure on it says that the machinery works, and nothing about emotions in the world.
"""


def read(row: Mapping[str, Any], grouping: str | None = None) -> Example:
    """One comment with its labels, folded by a grouping of the 28 where one is named."""
    names = row["labels"].split("|")
    return Example(
        row["text"], names if grouping is None else list(EMOTIONS.grouping(grouping).fold(names))
    )


def _task(name: str, taxonomy: Taxonomy, grouping: str | None = None) -> Task:
    return Task(
        name, SOURCE, partial(read, grouping=grouping), taxonomy, head=MultiLabel(), card=CARD
    )


@hookimpl
def emomtl_tasks() -> list[Task]:
    """The demo corpus on 28 emotions, on Ekman's seven and on four sentiments; the rows are the
    same.
    """
    return [
        _task("demo", EMOTIONS),
        _task("demo-ekman", EKMAN, "ekman"),
        _task("demo-sentiment", SENTIMENT, "sentiment"),
    ]

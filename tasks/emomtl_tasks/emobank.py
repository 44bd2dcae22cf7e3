"""EmoBank: valence, arousal and dominance of English sentences, from 1 to 5 (Buechel and Hahn,
2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomtl import Example, Files, Published, Regression, Task, hookimpl

DIMENSIONS = ("valence", "arousal", "dominance")
COLUMNS = {"text": "text", "V": "valence", "A": "arousal", "D": "dominance"}

SOURCES = (
    Files("emobank.csv", columns=COLUMNS, split_column="split"),
    Files("*", columns=COLUMNS, split_column="split"),
)
"""The published file, and the same under another name; its column `split` reads train, dev or test.
"""

CARD = """\
10,062 English sentences of news, blogs, fiction, letters, essays and travel guides, each rated by
several people for valence (unpleasant to pleasant), arousal (calm to excited) and dominance (being
controlled to being in control), from 1 to 5; a row holds the means. Buechel and Hahn, 2017,
"EmoBank: Studying the Impact of Annotation Perspective and Representation Format on Dimensional
Emotion Analysis" (EACL).

Licence: CC BY-SA 4.0.

Known to be wrong: the ratings crowd around the middle (means 2.98, 3.04 and 3.06, standard
deviations 0.35, 0.26 and 0.21), so compare Pearson's r rather than errors. One text reads "None",
which some readers of CSV take for a missing value. 20 texts of validation and 16 of test stand in
train too.
"""


def read(row: Mapping[str, Any]) -> Example:
    """One sentence with its valence, arousal and dominance."""
    return Example(row["text"], tuple(float(row[dimension]) for dimension in DIMENSIONS))


@hookimpl
def emomtl_tasks() -> list[Task]:
    return [
        Task(
            "emobank",
            SOURCES,
            read,
            head=Regression(DIMENSIONS, low=1, high=5),
            published=Published(sizes={"train": 8_062, "validation": 1_000, "test": 1_000}),
            card=CARD,
        )
    ]

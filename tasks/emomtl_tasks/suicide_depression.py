"""Suicide and Depression Detection: Reddit posts from r/SuicideWatch against posts from r/teenagers
(Kaggle, 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomtl import Example, Files, Label, Published, SingleLabel, Split, Task, Taxonomy, hookimpl

LABELS = Taxonomy(
    [
        Label("non-suicide", "The post was written to a general forum of teenagers."),
        Label(
            "suicide", "The post was written to a forum for people who think of taking their life."
        ),
    ]
)

SOURCES = tuple(
    Files(path, columns={"text": "text", "class": "class"}, quoting="csv")
    for path in ("Suicide_Detection.csv", "Suicide_Detection_sample.csv", "*")
)
"""The published file, a sample of it, and any other file; each must have the columns text and
class.

Posts run over many lines, so a quoted cell is taken as it is.
"""

CARD = """\
232,074 Reddit posts, half from r/SuicideWatch (`suicide`), half from r/teenagers (`non-suicide`),
collected by Nikhileswar Komati and published on Kaggle as "Suicide and Depression Detection" in
2021.

Licence: unclear. The posts belong to people in distress who did not agree to this use: do not
print, publish or send them elsewhere. The task is marked sensitive, so emomtl never prints, logs or
reports a text of it.

Safety: this is not a diagnostic tool. A label says to which forum a post was written and nothing of
the person who wrote it: `non-suicide` is r/teenagers, not people who were found to be well, and a
model learns topic, tone and age as much as risk. No decision about a person may rest on it. Whoever
shows its output to people should have a clinician in the loop and put the local crisis line beside
it (in the United States and Canada 988; elsewhere findahelpline.com lists them).

Splits: none are published. A hash of the text keeps a tenth for validation and a tenth for test;
copies of a post stay together.

Known to be wrong: posts run over many lines, so only a CSV reader that knows quotes survives; posts
are long, and 64 tokens see their beginning only.
"""


def read(row: Mapping[str, Any]) -> Example:
    """One post with the forum that it was written to; the column of row numbers is ignored."""
    return Example(row["text"], row["class"])


@hookimpl
def emomtl_tasks() -> list[Task]:
    return [
        Task(
            "suicide-depression",
            SOURCES,
            read,
            LABELS,
            head=SingleLabel(),
            split=Split(validation=0.1, test=0.1),
            published=Published(sizes={"all": 232_074}),
            sensitive=True,
            card=CARD,
        )
    ]

"""The task `isear-like`: people tell of an incident, and the label is the emotion that they felt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emomtl import Example, Files, Grouping, Label, SingleLabel, Task, Taxonomy, hookimpl

EMOTIONS = Taxonomy(
    [
        Label("joy", "Something good happened to the writer or to people close to them."),
        Label("fear", "The writer was in danger, or believed so."),
        Label("anger", "Somebody wronged the writer."),
        Label("sadness", "The writer lost someone or something."),
        Label("disgust", "The writer met something repulsive."),
        Label("shame", "The writer looked bad in the eyes of others."),
        Label("guilt", "The writer did wrong to somebody."),
    ],
    [Grouping("tone", {"pleasant": ("joy",), "unpleasant": ("fear", "anger", "sadness", "disgust", "shame", "guilt")})],
)

ROWS = Files(str(Path(__file__).resolve().parent / "rows"), delimiter="\t", quoting="none")
"""A folder with train.tsv, validation.tsv and test.tsv, each with the columns `emotion` and `incident`."""

CARD = """\
210 incidents in the manner of the ISEAR questionnaire (Scherer & Wallbott, 1994), made up for this example: 30 for each of
seven emotions, none of them taken from the corpus. Too few to say anything about emotions. Licence: Apache-2.0.
"""


def read(row: Mapping[str, Any]) -> Example:
    """One incident and the emotion that it caused."""
    return Example(row["incident"], row["emotion"])


@hookimpl
def emomtl_tasks() -> list[Task]:
    """Offer `isear-like`."""
    return [Task("isear-like", ROWS, read, EMOTIONS, head=SingleLabel(), card=CARD)]

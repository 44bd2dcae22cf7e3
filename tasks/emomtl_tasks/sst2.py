"""SST-2: positive or negative, phrases of film reviews (Socher et al., 2013; the GLUE release, Wang
et al., 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomtl import Example, Files, Hub, Label, Published, SingleLabel, Task, Taxonomy, hookimpl

LABELS = Taxonomy(
    [
        Label("negative", "The phrase speaks badly of the film."),
        Label("positive", "The phrase speaks well of the film."),
    ]
)

GLUE_SPLITS = {"train": "train.tsv", "validation": "dev.tsv"}
GOLD_TEST = Files(
    "test-gold.tsv", columns=("sentence", "label"), header=False, delimiter="\t", quoting="none"
)
"""The 1,821 test sentences in GLUE's order with the treebank's own labels; GLUE's `test.tsv` has
none.
"""

SOURCES = (
    Hub("stanfordnlp/sst2", revision="8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"),
    Hub("nyu-mll/glue", "sst2"),
    Files("*", splits={**GLUE_SPLITS, "test": GOLD_TEST}, delimiter="\t", quoting="none"),
    Files("*", splits=GLUE_SPLITS, delimiter="\t", quoting="none"),
    Files(
        "*",
        splits={
            "train": "data/train-*.parquet",
            "validation": "data/validation-*.parquet",
            "test": "data/test-*.parquet",
        },
    ),
)
"""The hub, GLUE's folder with the treebank's test labels, GLUE's folder as it is, and a clone of
the hub's repository.
"""

CARD = """\
Phrases and sentences of film reviews, negative or positive: Socher et al., 2013, "Recursive Deep
Models for Semantic Compositionality Over a Sentiment Treebank" (EMNLP), in the release of GLUE
(Wang et al., 2019).

Licence: none is stated.

Why 67,349 rows and not 215,154: the treebank grades every phrase of its parse trees, 215,154 of
them, from very negative to very positive. GLUE keeps the phrases in the trees of the training
sentences, drops the neutral ones, makes two labels of the grades and, with 371 exceptions, keeps
each phrase once. So train is made of phrases, most of them fragments of a sentence, while
validation and test are whole sentences.

Test: GLUE hides the labels of its 1,821 test sentences. From the hub they come without label (-1),
so nothing can be scored on them. A folder with `test-gold.tsv` (sentence, label, no header) gives
the treebank's labels; without that file it has no test split.

Known to be wrong: 371 phrases of train stand there twice, 5 of them with both labels, and 2 test
sentences stand in train. Texts are tokenised and lower-cased ("it 's a charming and often affecting
journey .").
"""


def read(row: Mapping[str, Any]) -> Example:
    """One phrase; GLUE's hidden test has the label -1, which becomes None."""
    number = int(row["label"])
    return Example(row["sentence"].strip(), None if number == -1 else LABELS[number])


@hookimpl
def emomtl_tasks() -> list[Task]:
    return [
        Task(
            "sst2",
            SOURCES,
            read,
            LABELS,
            head=SingleLabel(),
            published=Published(
                sizes={"train": 67_349, "validation": 872, "test": 1_821},
                labels={
                    "train": {"negative": 29_780, "positive": 37_569},
                    "validation": {"negative": 428, "positive": 444},
                },
            ),
            card=CARD,
        )
    ]

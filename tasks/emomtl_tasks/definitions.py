"""The derived task `definitions`: does this sentence say what the text's label means? (Singh et al., 2021.)"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import annotated_types

from emomtl import DerivedTask, EmomtlError, Example, SingleLabel, Task, Taxonomy, hookimpl

ANSWERS = Taxonomy(["true", "false"])
"""Whether the second text is the definition of a label of the first; numbered 0 and 1 as in the paper's code."""

HOLDS = 0.5
"""A soft value from which a label counts as one of the text's."""

CARD = """\
Pairs of a text and a definition, made of another task's rows: for each label of a text its definition (`true`), and the
definition of a label that the text does not have (`false`). The task that Singh et al. (2021, "Fine-Grained Emotion
Prediction by Modeling Emotion Definitions", ACII) call class definition prediction.

Licence: that of the task that it is made of; definitions are those of its taxonomy.

Known to be wrong: with a `false` pair for every `true` one the majority is right in half of the pairs, but a model that reads
the definition and not the text is right in 69% of those of GoEmotions: the definition of a frequent label is mostly `true`.
Raters leave labels out, so some `false` pairs are true.
"""


@dataclass(frozen=True)
class Definitions(DerivedTask):
    """Pairs of a text and the definition of one of its labels, `true`, or of a label that it does not have, `false`.

    The `class definition prediction` of Singh et al. (2021). A text with k labels gives k `true` pairs and as many `false`
    ones, whose labels are drawn without repetition from those that the text lacks, by `seed` and the text alone (the paper's
    code shuffles them with one generator over all rows, so that a pair depends on the rows before it). A label like neutral
    takes part like any other, as in the paper. `negatives = false` leaves the `false` pairs out: for masked language
    modelling on true pairs only. Of soft labels those from 0.5 count as the text's, and those that are not known are in no
    pair; a text without a label gives no pair.
    """

    name: ClassVar[str] = "definitions"
    of: str
    negatives: bool = True
    seed: Annotated[int, annotated_types.Ge(0)] = 100

    def derive(self, base: Task) -> Task:
        """The pairs of `base`, on the same sources and splits; refused where it has no labels, or one without definition."""
        if base.taxonomy is None:
            found = f"task '{base.name}' has no labels that are known before its rows are read"
            raise EmomtlError(found, remedy="name a task whose plugin gives a taxonomy, with a definition for each label")
        lacking = [label.name for label in base.taxonomy.labels if not label.definition.strip()]
        if lacking:
            found = f"{len(lacking)} label(s) of task '{base.name}' have no definition: {', '.join(lacking[:3])}"
            raise EmomtlError(found, remedy="write one into its taxonomy: Label(name, definition)")
        return Task(
            self.name,
            base.sources,
            partial(self.read, base),
            ANSWERS,
            head=SingleLabel(),
            split=base.split,
            sensitive=base.sensitive,
            special_tokens=base.special_tokens,
            card=CARD,
        )

    def read(self, base: Task, row: Mapping[str, Any]) -> list[Example]:
        """The pairs of one row, each `true` one before its `false` one."""
        assert base.taxonomy is not None
        meanings = {label.name: label.definition for label in base.taxonomy.labels}
        return [pair for example in base.examples(row) for pair in self._pairs(example, meanings, base.taxonomy)]

    def _pairs(self, example: Example, meanings: Mapping[str, str], taxonomy: Taxonomy) -> list[Example]:
        if example.pair is not None:
            raise EmomtlError("the row has a second text already", remedy="definitions need a task of single texts")
        gold, others = _sides(example.label, taxonomy)
        pairs, number = [], self._number(example.text)
        for name in gold:
            pairs.append(Example(example.text, "true", meanings[name]))
            if self.negatives and others:
                number, place = divmod(number, len(others))
                pairs.append(Example(example.text, "false", meanings[others.pop(place)]))
        return pairs

    def _number(self, text: str) -> int:
        """A number of 512 bits that depends on the seed and the text; its remainders choose among the other labels."""
        return int.from_bytes(hashlib.blake2b(f"{self.seed} {text}".encode("utf-8", "surrogatepass")).digest(), "big")


def _sides(label: Any, taxonomy: Taxonomy) -> tuple[list[str], list[str]]:
    """The labels that a text has and those that it is known not to have, in the order of the taxonomy; unknown names raise."""
    if label is None:
        return [], []
    if isinstance(label, Mapping):
        known = {taxonomy.names[taxonomy.index(name)]: value for name, value in label.items() if value is not None}
        return [n for n in taxonomy if known.get(n, 0) >= HOLDS], [n for n in taxonomy if known.get(n, HOLDS) < HOLDS]
    names = [label] if isinstance(label, str) or not isinstance(label, Sequence) else label
    held = {taxonomy.index(name) for name in names}
    return [n for i, n in enumerate(taxonomy) if i in held], [n for i, n in enumerate(taxonomy) if i not in held]


@hookimpl
def emomtl_tasks() -> list[type[DerivedTask]]:
    """Offer `definitions`."""
    return [Definitions]

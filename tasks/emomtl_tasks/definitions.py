"""The derived task `definitions`: is this the definition of the text's label?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import annotated_types

from emomtl import DerivedTask, EmomtlError, Example, Label, SingleLabel, Task, Taxonomy, hookimpl

ANSWERS = Taxonomy(["true", "false"])
"""Whether the second text is the definition of a label of the first; numbered 0 and 1 as in the
paper's code.
"""

HOLDS = 0.5
"""A soft value from which a label counts as one of the text's."""

CARD = """\
Pairs of a text and a definition, made of another task's rows: for each label of a text its
definition (`true`), and the definition of a label that the text does not have (`false`). The task
that Singh et al. (2021, "Fine-Grained Emotion Prediction by Modeling Emotion Definitions", ACII)
call class definition prediction.

Licence: that of the task that it is made of; definitions are those of its taxonomy.

Known to be wrong: with a `false` pair for every `true` one the majority is right in half of the
pairs, but a model that reads the definition and not the text is right in 69% of those of
GoEmotions: the definition of a frequent label is mostly `true`. Raters leave labels out, so some
`false` pairs are true.
"""


@dataclass(frozen=True)
class Definitions(DerivedTask):
    """Pairs of a text and the definition of one of its labels, `true`, or of a label that it does
    not have, `false`.

    The `class definition prediction` of Singh et al. (2021). A text with k labels gives k `true`
    pairs and as many `false` ones, whose labels are drawn without repetition from those that the
    text lacks, by `seed` and the text alone (the paper's code shuffles them with one generator over
    all rows, so that a pair depends on the rows before it). A label like neutral takes part like
    any other, as in the paper. `negatives = false` leaves the `false` pairs out: for masked
    language modelling on true pairs only. Of soft labels those from 0.5 count as the text's, and
    those that are not known are in no pair; a text without a label gives no pair.
    """

    name: ClassVar[str] = "definitions"
    of: str
    negatives: bool = True
    seed: Annotated[int, annotated_types.Ge(0)] = 100

    def derive(self, base: Task) -> Task:
        """The pairs of `base`, on the same sources and splits."""
        if base.taxonomy is None:
            problem = f"task '{base.name}' has no labels that are known before its rows are read"
            remedy = "name a task whose plugin gives a taxonomy, with a definition for each label"
            raise EmomtlError(problem, remedy=remedy)
        undefined = [label.name for label in base.taxonomy.labels if not label.definition.strip()]
        if undefined:
            problem = f"{len(undefined)} label(s) of task '{base.name}' have no definition: "
            problem += ", ".join(undefined[:3])
            remedy = "write one into its taxonomy: Label(name, definition)"
            raise EmomtlError(problem, remedy=remedy)
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
        pairs = []
        for example in base.examples(row):
            pairs += self._pairs(example, base.taxonomy)
        return pairs

    def _pairs(self, example: Example, taxonomy: Taxonomy) -> list[Example]:
        if example.pair is not None:
            problem = "the row has a second text already"
            raise EmomtlError(problem, remedy="definitions need a task of single texts")
        held, others = _held_and_others(example.label, taxonomy)
        pairs, number = [], self._number(example.text)
        for label in held:
            pairs.append(Example(example.text, "true", label.definition))
            if self.negatives and others:
                number, position = divmod(number, len(others))
                definition = others.pop(position).definition
                pairs.append(Example(example.text, "false", definition))
        return pairs

    def _number(self, text: str) -> int:
        """512 random bits from the seed and the text; their remainders draw the `false` labels."""
        key = f"{self.seed} {text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(key).digest(), "big")


def _held_and_others(label: Any, taxonomy: Taxonomy) -> tuple[list[Label], list[Label]]:
    """The labels that a text has, and those that it is known not to have, in order."""
    if label is None:
        return [], []
    if isinstance(label, Mapping):
        known = {taxonomy.index(name): value for name, value in label.items() if value is not None}
        held = [taxonomy.labels[i] for i in sorted(known) if known[i] >= HOLDS]
        return held, [taxonomy.labels[i] for i in sorted(known) if known[i] < HOLDS]
    names = [label] if isinstance(label, str) or not isinstance(label, Sequence) else label
    positions = {taxonomy.index(name) for name in names}
    held = [taxonomy.labels[i] for i in sorted(positions)]
    return held, [other for i, other in enumerate(taxonomy.labels) if i not in positions]


@hookimpl
def emomtl_tasks() -> list[type[DerivedTask]]:
    return [Definitions]

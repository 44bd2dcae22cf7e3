"""Heads that read the encoder's token states and make their targets from the tokens of a text."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from emomtl.contracts.heads.declaration import Head, Row
from emomtl.errors import EmomtlError
from emomtl.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from emomtl.contracts.taxonomy import Taxonomy

MISSING_TOKEN = -100
"""The target of a token without loss, and of a row that the task does not have."""


@dataclass(frozen=True)
class Vocabulary:
    """What a head over tokens may know of the tokenizer and of the encoder's word embedding.

    `size` words have the ids 0 to size - 1; the embedding has `rows` >= size rows of `width`
    numbers. `mask` is the id of the tokenizer's mask token, None where it has none; `special` are
    the ids that are no words ([CLS], [SEP], padding, ...).
    """

    size: int
    rows: int
    width: int
    mask: int | None
    special: frozenset[int]


class TokenHead(Head):
    """A head over token states (B, T, W) instead of the pooled vector.

    Its targets are made of the tokens and not of labels. `prepare` may change the inputs (hide
    words, replace them), so such a task never shares an encoder pass with another. The module of
    `build_on_tokens` gets the states, the targets and the weight of the word embedding (rows,
    width), and gives L numbers a text, (B, L), named by `outputs`: whatever `loss` and `metrics`
    need, such as the sum of a text's losses and their number. `emomtl predict` leaves such a task
    out, since it answers a text with nothing.
    """

    answers: ClassVar[Literal["labels", "numbers", "nothing"]] = "nothing"
    pretrained: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameters of the module, each with the names that it may have in a pretrained encoder's own
    file. They are read from there where all are found, so that training goes on where the encoder's
    authors stopped."""

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None:
            problem = f"a {self.kind} head takes no labels"
            remedy = "give it to a task without taxonomy, such as a derived one"
            raise EmomtlError(problem, remedy=remedy)

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Raise `EmomtlError` where the tokenizer lacks what the head needs."""

    @abstractmethod
    def prepare(
        self,
        inputs: Mapping[str, NDArray[np.int64]],
        vocabulary: Vocabulary,
        draw: np.random.Generator,
    ) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
        """The inputs for the encoder, and the targets (B, T): a token each, or `MISSING_TOKEN`.

        `inputs` are `input_ids`, `attention_mask` (and `token_type_ids` of pairs), (B, T) each, and
        must not be changed in place. Take all random numbers from `draw`, which is seeded anew for
        every step, task and micro-batch.
        """

    @abstractmethod
    def build_on_tokens(self, width: int, vocabulary: Vocabulary) -> nn.Module:
        """The module: states (B, T, W), targets (B, T), word embedding (rows, width) -> (B, L)."""

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        raise TypeError(f"a {self.kind} head is built on tokens")

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int:
        """0 for a row that the task has, whatever its label; `MISSING_TOKEN` for None."""
        return MISSING_TOKEN if label is None else 0

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """For each row (B,), whether the task has it."""
        import numpy as np

        return np.asarray(targets != MISSING_TOKEN)

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """For prepared targets (B, T), the tokens with a target in each row, (B,)."""
        import numpy as np

        return np.asarray((targets != MISSING_TOKEN).sum(axis=1))

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """The module's numbers as they are."""
        import numpy as np

        return logits.astype(np.float64)

    def decode(
        self, probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        return [[] for _ in probabilities]

    def table(
        self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[Row]:
        return []


def prepare_fixed(
    head: TokenHead, inputs: Mapping[str, NDArray[np.int64]], vocabulary: Vocabulary
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """`prepare` for scoring, where the draw for a text depends on its tokens alone.

    So it does not depend on seed, batch, padding or other texts, and two runs, or two checkpoints
    of one, get the same targets for the same texts.
    """
    import numpy as np

    changed = {name: array.copy() for name, array in inputs.items()}
    targets = np.full(inputs["input_ids"].shape, MISSING_TOKEN, np.int64)
    for row, length in enumerate(inputs["attention_mask"].sum(axis=1).tolist()):
        text = {name: array[row : row + 1, :length] for name, array in inputs.items()}
        key = zlib.crc32(np.ascontiguousarray(text["input_ids"]).tobytes())
        prepared, text_targets = head.prepare(text, vocabulary, generator("fixed", key))
        for name, array in prepared.items():
            changed[name][row, :length] = array[0]
        targets[row, :length] = text_targets[0]
    return changed, targets


def encoder_passes(tasks: Iterable[str], heads: Mapping[str, Head]) -> list[list[str]]:
    """The tasks of one corpus by encoder pass: those on the pooled vector in one, others apart."""
    pooled, passes = [], []
    for task in tasks:
        if isinstance(heads[task], TokenHead):
            passes.append([task])
        else:
            pooled.append(task)
    return [pooled, *passes] if pooled else passes

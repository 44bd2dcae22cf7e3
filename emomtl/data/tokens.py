"""Texts as token ids: one flat array per split, tokenised once, from which batches are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.data.corpus import CorpusSplit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 8192
"""Texts that are tokenised at a time."""

CHARACTERS_PER_TOKEN = 20
"""Characters kept for each token that is read: a text of megabytes is cut before the tokenizer sees it."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts: `ids` flat, text i at `ids[starts[i]:starts[i + 1]]`; `types` are segment ids of pairs."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    types: NDArray[np.int8] | None
    pad: int
    cut: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text (n,)."""
        import numpy as np

        return np.diff(self.starts)

    def batch(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The padded inputs of an encoder for these rows: (B, longest)."""
        import numpy as np

        starts, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        reach = np.arange(int(lengths.max()))
        inside = reach[None, :] < lengths[:, None]
        places = (starts[:, None] + reach[None, :])[inside]
        ids = np.full(inside.shape, self.pad, np.int64)
        ids[inside] = self.ids[places]
        inputs = {"input_ids": ids, "attention_mask": inside.astype(np.int64)}
        if self.types is not None:
            inputs["token_type_ids"] = np.zeros(inside.shape, np.int64)
            inputs["token_type_ids"][inside] = self.types[places]
        return inputs


def tokenise(tokenizer: Any, split: CorpusSplit, max_tokens: int) -> Tokens:
    """The tokens of a split, each text cut to `max_tokens`; texts so long that most would be thrown away are cut first."""
    import numpy as np

    most = max_tokens * CHARACTERS_PER_TOKEN
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int8]] = []
    lengths: list[int] = []
    cut = 0
    for start in range(0, len(split), CHUNK):
        texts = [text[:most] for text in split.texts[start : start + CHUNK]]
        pairs = [text[:most] for text in split.pairs[start : start + CHUNK]] if split.pairs else None
        encoded = tokenizer(texts, pairs, truncation="longest_first" if pairs else True, max_length=max_tokens)
        lengths += [len(row) for row in encoded["input_ids"]]
        cut += sum(len(text) > most for text in split.texts[start : start + CHUNK])
        ids.append(_flat(encoded["input_ids"], np.int32))
        if pairs and "token_type_ids" in encoded:
            types.append(_flat(encoded["token_type_ids"], np.int8))
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    return Tokens(flat, starts, np.concatenate(types) if types else None, int(tokenizer.pad_token_id or 0), cut)


def _flat(rows: Sequence[Sequence[int]], kind: Any) -> NDArray[Any]:
    import itertools

    import numpy as np

    return np.fromiter(itertools.chain.from_iterable(rows), kind, sum(len(row) for row in rows))

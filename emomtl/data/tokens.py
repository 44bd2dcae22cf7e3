"""Texts as token ids: one flat array per split, tokenised once, from which batches are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.data.corpus import CorpusSplit
from emomtl.data.truncation import fitted, kept, reach, shortened
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import is_failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 8192
"""Texts that are tokenised at a time."""

CHARACTERS_PER_TOKEN = 20
"""Characters kept for each token that is read: a text of megabytes is cut before the tokenizer sees it."""

TRUNCATION = "longest_first"
"""How a text that is too long is cut: of a pair, the longer one first."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts: `ids` flat, text i at `ids[starts[i]:starts[i + 1]]`; `types` are segment ids of pairs.

    `features` (n, F) are the vectors of the texts that stand beside the encoder's, where the run has any.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    types: NDArray[np.int8] | None
    pad: int
    cut: int
    features: NDArray[np.float32] | None = None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text (n,)."""
        import numpy as np

        return np.diff(self.starts)

    def beside(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The feature vectors of these rows (B, F), or None where the run has no features."""
        return None if self.features is None else self.features[rows]

    def only(self, rows: NDArray[np.int64]) -> Tokens:
        """The tokens of these texts alone, in this order."""
        import numpy as np

        starts, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])
        types = None if self.types is None else self.types[places]
        return Tokens(self.ids[places], ends, types, self.pad, self.cut, self.beside(rows))

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


def tokenise(tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD) -> Tokens:
    """The tokens of a split, each text cut to `max_tokens`; texts so long that most would be thrown away are cut first."""
    import numpy as np

    most = max_tokens * CHARACTERS_PER_TOKEN
    encode = _encoder(tokenizer, max_tokens if truncation == HEAD else None)
    typed = split.pairs is not None and "token_type_ids" in tokenizer.model_input_names
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int8]] = []
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    cut = 0
    for start in range(0, len(split), CHUNK):
        texts, pairs = as_read(split, max_tokens, truncation, slice(start, start + CHUNK))
        encoded = encode(texts, pairs)
        if truncation != HEAD:
            encoded = [fitted(one, max_tokens, truncation) for one in encoded]
        rows = [one.ids for one in encoded]
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        cut += sum(len(text) > reach(most, truncation) for text in split.texts[start : start + CHUNK])
        ids.append(_flat(rows, np.int32))
        if typed:
            types.append(_flat([one.type_ids for one in encoded], np.int8))
    starts = np.cumsum(np.concatenate(lengths))
    flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    return Tokens(flat, starts, np.concatenate(types) if types else None, int(tokenizer.pad_token_id or 0), cut)


def as_read(
    split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD, rows: slice = slice(None)
) -> tuple[list[str], list[str] | None]:
    """The characters of texts, and of their pairs, that the tokenizer is given."""
    most = max_tokens * CHARACTERS_PER_TOKEN
    texts = [shortened(text, most, truncation) for text in split.texts[rows]]
    return texts, [text[:most] for text in split.pairs[rows]] if split.pairs else None


def token_places(
    tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD
) -> list[list[tuple[int | None, int, int]]]:
    """Where each token that `tokenise` gives stands: which text of a pair (0 or 1), first character and the one after the last.

    Characters are counted in what `as_read` gives; a token that the tokenizer added, such as [CLS], is of no text (None).
    """
    encoded = _encoder(tokenizer, max_tokens if truncation == HEAD else None, places=True)(
        *as_read(split, max_tokens, truncation)
    )
    found = []
    for one in encoded:
        every = [(side, *span) for side, span in zip(one.sequence_ids, one.offsets, strict=True)]
        found.append([place for part in kept(one, max_tokens, truncation) for place in every[part]])
    return found


def _encoder(
    tokenizer: Any, max_tokens: int | None, places: bool = False
) -> Callable[[list[str], list[str] | None], Sequence[Any]]:
    """A function from texts, and their pairs, to encodings with `ids` and `type_ids`; of any length where `max_tokens` is None.

    With `places` they have `offsets` too, which takes longer.
    What transformers does beyond the tokenizer (masks, lists of lists, offsets) takes more time than the tokenizer itself.
    """
    from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

    tokenizer.set_truncation_and_padding(
        padding_strategy=PaddingStrategy.DO_NOT_PAD,
        truncation_strategy=TruncationStrategy.DO_NOT_TRUNCATE if max_tokens is None else TruncationStrategy(TRUNCATION),
        max_length=max_tokens,
        stride=0,
        pad_to_multiple_of=None,
        padding_side=None,
    )
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encode = backend.encode_batch if places else backend.encode_batch_fast

    def encoded(texts: list[str], pairs: list[str] | None) -> Sequence[Any]:
        given = texts if pairs is None else list(zip(texts, pairs, strict=True))
        try:
            return encode(given)  # type: ignore[no-any-return]
        except BaseException as error:
            if not is_failure(error):
                raise
            found = f"its tokenizer fails: {clean(str(error), 200)}"
            raise EmomtlError(Problem("encoder.use", found, "is tokenizer.json the one that the model came with?")) from error

    return encoded


def _flat(rows: Sequence[Sequence[int]], kind: Any) -> NDArray[Any]:
    import itertools

    import numpy as np

    return np.fromiter(itertools.chain.from_iterable(rows), kind, sum(len(row) for row in rows))

"""Texts as token ids: one flat array per split, tokenised once, from which batches are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.data.corpus import CorpusSplit
from emomtl.data.truncation import fitted, kept_slices, longest_read, shortened
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import is_failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 8192
"""Texts that are tokenised at a time."""

CHARACTERS_PER_TOKEN = 20
"""Characters kept for each token that is read: longer texts are cut before the tokenizer."""

TRUNCATION = "longest_first"
"""How transformers cuts a text that is too long: of a pair, the longer one first."""

TokenPlace = tuple[int | None, int, int]
"""Of a token: the text of a pair (0 or 1; None: added), first character, one after the last."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts: `ids` flat, text i at `ids[starts[i]:starts[i + 1]]`.

    `types` are segment ids of pairs, `pad` the padding id, and `cut` counts texts that were cut
    before they were tokenised. `features` (n, F) are the vectors of the texts that stand beside the
    encoder's, where the run has any.
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
        # Token j of the result is token j - ends[row] of its row.
        places = np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])
        types = None if self.types is None else self.types[places]
        return Tokens(self.ids[places], ends, types, self.pad, self.cut, self.beside(rows))

    def batch(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The padded inputs of an encoder for these rows: (B, longest)."""
        import numpy as np

        starts, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        columns = np.arange(int(lengths.max()))
        mask = columns[None, :] < lengths[:, None]
        places = (starts[:, None] + columns[None, :])[mask]
        ids = np.full(mask.shape, self.pad, np.int64)
        ids[mask] = self.ids[places]
        inputs = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if self.types is not None:
            inputs["token_type_ids"] = np.zeros(mask.shape, np.int64)
            inputs["token_type_ids"][mask] = self.types[places]
        return inputs


def tokenise(
    tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD
) -> Tokens:
    """The tokens of a split, each text cut to `max_tokens` as `truncation` says.

    Texts so long that most would be thrown away are cut by characters first.
    """
    import numpy as np

    longest = longest_read(max_tokens * CHARACTERS_PER_TOKEN, truncation)
    # The tokenizer itself can only keep the head.
    encode = _encoder(tokenizer, max_tokens if truncation == HEAD else None)
    typed = split.pairs is not None and "token_type_ids" in tokenizer.model_input_names
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int8]] = []
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    cut = 0
    for start in range(0, len(split), CHUNK):
        part = slice(start, start + CHUNK)
        encodings = encode(*as_read(split, max_tokens, truncation, part))
        if truncation != HEAD:
            encodings = [fitted(encoding, max_tokens, truncation) for encoding in encodings]
        rows = [encoding.ids for encoding in encodings]
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        ids.append(_flat(rows, np.int32))
        if typed:
            types.append(_flat([encoding.type_ids for encoding in encodings], np.int8))
        cut += sum(len(text) > longest for text in split.texts[part])
    return Tokens(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        starts=np.cumsum(np.concatenate(lengths)),
        types=np.concatenate(types) if types else None,
        pad=int(tokenizer.pad_token_id or 0),
        cut=cut,
    )


def as_read(
    split: CorpusSplit,
    max_tokens: int,
    truncation: Truncation = HEAD,
    rows: slice = slice(None),
) -> tuple[list[str], list[str] | None]:
    """The characters of texts, and of their pairs, that the tokenizer is given."""
    most = max_tokens * CHARACTERS_PER_TOKEN
    texts = [shortened(text, most, truncation) for text in split.texts[rows]]
    pairs = [text[:most] for text in split.pairs[rows]] if split.pairs else None
    return texts, pairs


def token_places(
    tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD
) -> list[list[TokenPlace]]:
    """Where each token that `tokenise` gives stands in its text, for each text.

    Characters are counted in what `as_read` gives. A token that the tokenizer added, such as [CLS],
    is of no text.
    """
    encode = _encoder(tokenizer, max_tokens if truncation == HEAD else None, offsets=True)
    places = []
    for encoding in encode(*as_read(split, max_tokens, truncation)):
        sides = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        whole = [(side, *offsets) for side, offsets in sides]
        slices = kept_slices(encoding, max_tokens, truncation)
        places.append([place for part in slices for place in whole[part]])
    return places


def _encoder(
    tokenizer: Any, max_tokens: int | None, offsets: bool = False
) -> Callable[[list[str], list[str] | None], Sequence[Any]]:
    """A function from texts, and their pairs, to encodings with `ids` and `type_ids`.

    They have any length where `max_tokens` is None. With `offsets` they have these too, which takes
    longer. The tokenizer's backend is used directly: what transformers does beyond it (masks, lists
    of lists) takes more time than the tokenizing itself.
    """
    from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

    cutting = TruncationStrategy.DO_NOT_TRUNCATE
    if max_tokens is not None:
        cutting = TruncationStrategy(TRUNCATION)
    tokenizer.set_truncation_and_padding(
        padding_strategy=PaddingStrategy.DO_NOT_PAD,
        truncation_strategy=cutting,
        max_length=max_tokens,
        stride=0,
        pad_to_multiple_of=None,
        padding_side=None,
    )
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encode_batch = backend.encode_batch if offsets else backend.encode_batch_fast

    def encode(texts: list[str], pairs: list[str] | None) -> Sequence[Any]:
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        try:
            return encode_batch(inputs)  # type: ignore[no-any-return]
        except BaseException as error:  # a panic of the Rust library is no Exception
            if not is_failure(error):
                raise
            found = f"its tokenizer fails: {clean(str(error), 200)}"
            remedy = "is tokenizer.json the one that the model came with?"
            raise EmomtlError(Problem("encoder.use", found, remedy)) from error

    return encode


def _flat(rows: Sequence[Sequence[int]], dtype: Any) -> NDArray[Any]:
    import numpy as np

    return np.fromiter(chain.from_iterable(rows), dtype, sum(map(len, rows)))

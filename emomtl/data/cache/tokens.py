"""Cached tokens: an entry for each corpus split, tokenizer and length.

The key is a hash of the texts themselves, so a corpus that changed finds no old tokens, and texts
that are read in another way (with label noise, by `eval`, for other labels) find theirs. Texts are
never stored, and of a corpus with a sensitive task nothing is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.data.cache.store import Arrays, Damaged, Facts, Store, cache_folder
from emomtl.data.tokens import CHARACTERS_PER_TOKEN, TRUNCATION, Tokens, tokenise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.data.corpus import CorpusSplit, TaskData

FORMAT = 4
"""The version of an entry's files; part of the key, so that another version is never read."""

FEWEST = 2000
"""Texts of the smallest corpus that is cached: fewer are tokenised in a tenth of a second."""

DTYPES = {"ids": "<i4", "starts": "<i8", "types": "|i1"}
"""The arrays of an entry, one-dimensional, and their types."""


def corpus_tokens(
    data: TaskData,
    tokenizer: Any,
    max_tokens: int,
    note: Callable[[str], None],
    truncation: Truncation = HEAD,
) -> dict[tuple[str, str], Tokens]:
    """The tokens of every corpus by (corpus, split), from the cache where they may be kept.

    `max_tokens` and `truncation` are the encoder's; a corpus with a length of its own is cut in the
    same way. `note` is told of trouble with the cache, and of texts that were cut.
    """
    store = Store(cache_folder(), note)
    tokens = {}
    for corpus in data.corpora:
        few = sum(map(len, corpus.splits.values())) < FEWEST
        length = corpus.max_tokens or max_tokens
        cutting = truncation.scaled(length, max_tokens)
        for split, texts in corpus.splits.items():
            if corpus.sensitive or few or not store.usable:
                made = tokenise(tokenizer, texts, length, cutting)
            else:
                about = {"corpus": corpus.name, "split": split}
                made = _cached(store, about, tokenizer, texts, length, cutting)
            tokens[corpus.name, split] = made
            if made.cut:
                long = f"{made.cut:,} {split} text(s) were so long"
                note(f"{corpus.name}: {long} that they were cut before tokenising")
    return tokens


def _cached(
    store: Store,
    about: Facts,
    tokenizer: Any,
    texts: CorpusSplit,
    max_tokens: int,
    truncation: Truncation,
) -> Tokens:
    """The tokens of a split, mapped from its entry, which is made where there is none."""
    key = key_of(tokenizer, texts, max_tokens, truncation)
    parse = partial(_parsed, vocabulary_size=len(tokenizer))
    cached = store.find(key, parse)
    if cached is not None:
        return cached
    made = tokenise(tokenizer, texts, max_tokens, truncation)
    if not len(made.ids):
        return made
    arrays: dict[str, NDArray[Any]] = {"ids": made.ids, "starts": made.starts}
    if made.types is not None:
        arrays["types"] = made.types
    facts = {
        "holds": "tokens",
        **about,
        "tokenizer": getattr(tokenizer, "name_or_path", "") or None,
        "max_tokens": max_tokens,
        "texts": len(texts),
        "tokens": len(made.ids),
        "pad": made.pad,
        "cut": made.cut,
    }
    store.keep(key, arrays, facts)
    return store.find(key, parse) or made


def key_of(
    tokenizer: Any, texts: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD
) -> str:
    """The key of a split's tokens: a SHA-256 over all that decides about them.

    That is the texts, the tokenizer, the length, and what is kept of long texts.
    """
    kept = [max_tokens, CHARACTERS_PER_TOKEN, TRUNCATION, truncation.keep, truncation.head_tokens]
    content = json.dumps([FORMAT, _tokenizer_facts(tokenizer), kept, texts.digest])
    return hashlib.sha256(content.encode()).hexdigest()


def _tokenizer_facts(tokenizer: Any) -> list[Any]:
    """All that decides about ids: the tokenizer itself, and what transformers lays over it."""
    import tokenizers

    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    # Set anew before each use, so they differ between a fresh and a used tokenizer.
    backend.pop("truncation", None)
    backend.pop("padding", None)
    return [
        tokenizers.__version__,
        type(tokenizer).__name__,
        bool(tokenizer.split_special_tokens),
        tokenizer.pad_token_id,
        sorted(tokenizer.all_special_ids),
        tokenizer.truncation_side,
        tokenizer.model_input_names,
        backend,
    ]


def _parsed(facts: Facts, arrays: Arrays, vocabulary_size: int) -> Tokens:
    """The tokens of an entry. Damaged where its arrays do not fit one another, or the tokenizer."""
    import numpy as np

    if not {"ids", "starts"} <= set(arrays):
        raise Damaged("files are missing")
    for name, array in arrays.items():
        if array.dtype.str != DTYPES.get(name) or array.ndim != 1:
            raise Damaged(f"{name} holds {array.ndim}-dimensional {array.dtype}")
    ids, starts, types = arrays["ids"], arrays["starts"], arrays.get("types")
    if len(starts) != facts["texts"] + 1 or starts[0] != 0 or starts[-1] != len(ids):
        raise Damaged("its texts do not follow one another")
    if np.any(starts[1:] < starts[:-1]):
        raise Damaged("its texts do not follow one another")
    pad_fits = 0 <= facts["pad"] < vocabulary_size
    if len(ids) and (ids.min() < 0 or ids.max() >= vocabulary_size or not pad_fits):
        raise Damaged("it has ids that are no words of the tokenizer")
    if types is not None and len(types) != len(ids):
        raise Damaged("segment ids and token ids differ in number")
    return Tokens(ids, starts, types, facts["pad"], facts["cut"])

"""Tokens that are kept between runs: an entry for each corpus split, tokenizer and length.

The key is a hash of the texts themselves, so a corpus that changed finds no old tokens. Texts are never stored, and of a
corpus with a sensitive task nothing is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.data.cache.store import Damaged, Store, cache_folder
from emomtl.data.tokens import CHARACTERS_PER_TOKEN, TRUNCATION, Tokens, tokenise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.data.corpus import CorpusSplit, TaskData

FORMAT = 3
"""The version of an entry's files; it is part of the key, so that another version is never read."""

FEWEST = 2000
"""Texts of the smallest corpus that is kept: fewer are tokenised in a tenth of a second, which no file is worth."""

KINDS = {"ids": "<i4", "starts": "<i8", "types": "|i1"}
"""The arrays of an entry, one-dimensional, and their types."""

TOKENS, WHAT = "tokens", "token cache"
"""The store's folder, and its name in notes."""


def corpus_tokens(
    data: TaskData, tokenizer: Any, max_tokens: int, note: Callable[[str], None], truncation: Truncation = HEAD
) -> dict[tuple[str, str], Tokens]:
    """The tokens of every corpus by (corpus, split), from the cache where they may be kept; `note` hears what is worth a line.

    `max_tokens` and `truncation` are the encoder's; a corpus of another length is cut in the same way.
    """
    store = Store(WHAT, cache_folder(TOKENS), note)
    found = {}
    for corpus in data.corpora:
        few = sum(map(len, corpus.splits.values())) < FEWEST
        length = corpus.max_tokens or max_tokens
        cut = truncation.scaled(length, max_tokens)
        for split, texts in corpus.splits.items():
            if corpus.sensitive or few:
                tokens = tokenise(tokenizer, texts, length, cut)
            else:
                tokens = _kept(store, tokenizer, texts, length, {"corpus": corpus.name, "split": split}, cut)
            found[corpus.name, split] = tokens
            if tokens.cut:
                note(f"{corpus.name}: {tokens.cut:,} {split} text(s) were so long that they were cut before tokenising")
    return found


def _kept(
    store: Store, tokenizer: Any, split: CorpusSplit, max_tokens: int, about: Mapping[str, Any], truncation: Truncation
) -> Tokens:
    """The tokens of a split: mapped from its entry, which is made where it is lacking; in memory where that cannot be."""
    if not store.usable:
        return tokenise(tokenizer, split, max_tokens, truncation)
    key = key_of(tokenizer, split, max_tokens, truncation)
    parse = partial(_parsed, words=len(tokenizer))
    found = store.find(key, parse)
    if found is not None:
        return found
    made = tokenise(tokenizer, split, max_tokens, truncation)
    if not len(made.ids):
        return made
    arrays: dict[str, NDArray[Any]] = {"ids": made.ids, "starts": made.starts}
    if made.types is not None:
        arrays["types"] = made.types
    facts = {"max_tokens": max_tokens, "tokenizer": getattr(tokenizer, "name_or_path", "") or None}
    facts |= {"texts": len(made.starts) - 1, "tokens": len(made.ids), "pad": made.pad, "cut": made.cut}
    store.keep(key, arrays, {**about, **facts})
    return store.find(key, parse) or made


def key_of(tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD) -> str:
    """The key of a split's tokens: a SHA-256 over texts, tokenizer, length, what is kept of long texts, and the format."""
    kept = [max_tokens, CHARACTERS_PER_TOKEN, TRUNCATION, truncation.keep, truncation.head_tokens]
    return hashlib.sha256(json.dumps([FORMAT, _tokenizer_facts(tokenizer), kept, split.digest]).encode()).hexdigest()


def _tokenizer_facts(tokenizer: Any) -> list[Any]:
    """All that decides about ids: the serialised tokenizer without its passing state, and what transformers lays over it."""
    import tokenizers

    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    whole.pop("truncation", None)
    whole.pop("padding", None)
    special = [tokenizer.pad_token_id, sorted(tokenizer.all_special_ids), tokenizer.truncation_side, tokenizer.model_input_names]
    return [tokenizers.__version__, type(tokenizer).__name__, bool(tokenizer.split_special_tokens), special, whole]


def _parsed(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], words: int) -> Tokens:
    """The tokens of an entry; Damaged where its arrays do not belong together, or to a tokenizer of so many `words`."""
    import numpy as np

    if not {"ids", "starts"} <= set(arrays):
        raise Damaged("files are missing")
    for name, array in arrays.items():
        if array.dtype.str != KINDS.get(name) or array.ndim != 1:
            raise Damaged(f"{name} holds {array.ndim}-dimensional {array.dtype}")
    ids, starts, types = arrays["ids"], arrays["starts"], arrays.get("types")
    fits = len(starts) > 0 and len(starts) == facts["texts"] + 1 and starts[0] == 0 and starts[-1] == len(ids)
    if not fits or np.any(starts[1:] < starts[:-1]):
        raise Damaged("its texts do not follow one another")
    if len(ids) and (ids.min() < 0 or ids.max() >= words or not 0 <= facts["pad"] < words):
        raise Damaged("it has ids that are no words of the tokenizer")
    if types is not None and len(types) != len(ids):
        raise Damaged("segment ids and token ids differ in number")
    return Tokens(ids, starts, types, facts["pad"], facts["cut"])

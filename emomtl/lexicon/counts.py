"""Texts as a sparse matrix of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emomtl.errors import EmomtlError
from emomtl.lexicon.tokens import tokens


def vocabulary_of(texts: Sequence[str], min_rows: int) -> tuple[tuple[str, ...], Any]:
    """The sorted V words that at least `min_rows` of n texts have, and counts (n, V), sparse.

    `EmomtlError` where no word is that frequent.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer=tokens, min_df=min_rows)
    try:
        counts = vectorizer.fit_transform(texts)
    except ValueError as error:
        found = f"no word stands in {min_rows} of the {len(texts):,} training rows"
        raise EmomtlError(found, remedy="lower `min_rows`, or take more rows") from error
    return tuple(vectorizer.get_feature_names_out().tolist()), counts


def counts_of(texts: Sequence[str], words: Sequence[str]) -> Any:
    """The counts of V known words in n texts, a sparse (n, V) matrix; other words do not count."""
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(analyzer=tokens, vocabulary=words).transform(texts)

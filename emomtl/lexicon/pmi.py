"""Pointwise mutual information of words and labels, the baseline of the mixture model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def positive_pmi(counts: NDArray[Any], total: NDArray[Any]) -> NDArray[Any]:
    """max(0, log P(w, e) / (P(w) P(e))) by tokens, (L, V).

    `counts` (L, V) are those of each label's texts, `total` (V,) of all texts.

    Negative values are cut (Church and Hanks 1990 count only attraction), so that a word's values
    can be shares of one.
    """
    import numpy as np

    labels, words, all_tokens = counts.sum(axis=1, keepdims=True), total[None, :], total.sum()
    is_known = (counts > 0) & (words > 0)
    one = np.ones_like(counts)
    ratio = np.divide(counts * all_tokens, labels * words, out=one, where=is_known)
    return np.asarray(np.maximum(0.0, np.log(ratio)))

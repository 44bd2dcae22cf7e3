"""Whether attributions fall on known emotion words more than their share of the words, with
intervals over texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emomtl.analyses.attribution.gradients import Attributed
from emomtl.analyses.attribution.texts import known
from emomtl.analyses.attribution.words import WordList
from emomtl.metrics.bootstrap import RESAMPLES, BootstrapEstimate, sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE, OF_WORDS, FOCUS, POINTING = "attribution_share", "word_share", "focus", "pointing_game"
"""The numbers that `focus_of` gives."""


@dataclass(frozen=True)
class Shares:
    """For each of n texts, means over its labels (n,).

    `attribution` is the share of absolute attribution on emotion words, `pointing` whether the
    word with the largest attribution is one, `words` the share of its words that are.
    """

    attribution: NDArray[np.float64]
    pointing: NDArray[np.float64]
    words: NDArray[np.float64]


def shares_of(attributed: Attributed, words: WordList) -> Shares:
    """The shares of every text; words that the model did not read, as they were cut off, do not
    count.
    """
    texts = len(attributed.units)
    emotion, of_words = [], np.zeros(texts)
    for text, (units, seen) in enumerate(zip(attributed.units, attributed.seen, strict=True)):
        emotion.append(known(units, words) & seen)
        of_words[text] = emotion[text].sum() / max(seen.sum(), 1)
    share, hit = np.zeros(texts), np.zeros(texts)
    for text, values in zip(attributed.text, attributed.words, strict=True):
        total = np.abs(values).sum()
        if total > 0:
            share[text] += np.abs(values[emotion[text]]).sum() / total
            largest = np.where(attributed.seen[text], values, -np.inf).argmax()
            hit[text] += emotion[text][largest]
    labels = np.bincount(attributed.text, minlength=texts)
    return Shares(share / labels, hit / labels, of_words)


def focus_of(shares: Shares, seed: int) -> dict[str, BootstrapEstimate]:
    """Over texts: mean share of attribution, mean share of words, their ratio, the pointing game.

    Attributions that take no notice of what a word is have a ratio (focus) of 1, and the share of
    words as their pointing game.
    """
    samples = sample_rows(len(shares.words), RESAMPLES, seed)
    draws = {name: getattr(shares, name)[samples].mean(axis=1) for name in vars(shares)}
    value = {name: float(getattr(shares, name).mean()) for name in draws}
    chance, unit = value["words"], (0.0, 1.0)
    undefined = np.full(RESAMPLES, np.nan)
    has_words = draws["words"] > 0
    ratios = np.divide(draws["attribution"], draws["words"], out=undefined, where=has_words)
    ratio = value["attribution"] / chance if chance else None
    return {
        SHARE: BootstrapEstimate(value["attribution"], draws["attribution"], chance, bounds=unit),
        OF_WORDS: BootstrapEstimate(chance, draws["words"], bounds=unit),
        FOCUS: BootstrapEstimate(ratio, ratios, 1.0, bounds=(0.0, 1e9)),
        POINTING: BootstrapEstimate(value["pointing"], draws["pointing"], chance, bounds=unit),
    }

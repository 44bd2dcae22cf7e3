"""Whether attributions fall on known emotion words more than their share of the words, with intervals over texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl.analyses.attribution.gradients import Attributed
from emomtl.analyses.attribution.texts import known
from emomtl.analyses.attribution.words import WordList
from emomtl.metrics.bootstrap import RESAMPLES, BootstrapEstimate, sample_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARE, OF_WORDS, FOCUS, POINTING = "attribution_share", "word_share", "focus", "pointing_game"
"""The figures: see `focus_of`."""


@dataclass(frozen=True)
class Shares:
    """For each of n texts, means over its labels: the share of absolute attribution on emotion words, whether the word with the
    largest attribution is one, and the share of its words that are.
    """

    attribution: NDArray[np.float64]
    pointing: NDArray[np.float64]
    words: NDArray[np.float64]


def shares_of(found: Attributed, words: WordList) -> Shares:
    """The shares of every text; words that the model did not read, as they were cut off, do not count."""
    import numpy as np

    texts = len(found.units)
    emotion = [known(units, words) & seen for units, seen in zip(found.units, found.seen, strict=True)]
    of_words = np.array([one.sum() / max(seen.sum(), 1) for one, seen in zip(emotion, found.seen, strict=True)])
    share, hit, labels = np.zeros(texts), np.zeros(texts), np.bincount(found.text, minlength=texts)
    for text, values in zip(found.text, found.words, strict=True):
        total = np.abs(values).sum()
        share[text] += np.abs(values[emotion[text]]).sum() / total if total > 0 else 0.0
        hit[text] += emotion[text][np.where(found.seen[text], values, -np.inf).argmax()] if total > 0 else 0.0
    return Shares(share / labels, hit / labels, of_words)


def focus_of(shares: Shares, seed: int) -> dict[str, BootstrapEstimate]:
    """The figures over texts: mean share of attribution, mean share of words, the one over the other, and the pointing game.

    1 is the focus, and the share of words the pointing game, of attributions that take no notice of what a word is.
    """
    import numpy as np

    samples = sample_rows(len(shares.words), RESAMPLES, seed)
    draws = {name: getattr(shares, name)[samples].mean(axis=1) for name in ("attribution", "pointing", "words")}
    value = {name: float(getattr(shares, name).mean()) for name in draws}
    chance = value["words"]
    return {
        SHARE: BootstrapEstimate(value["attribution"], draws["attribution"], chance, bounds=(0.0, 1.0)),
        OF_WORDS: BootstrapEstimate(value["words"], draws["words"], bounds=(0.0, 1.0)),
        FOCUS: BootstrapEstimate(
            value["attribution"] / value["words"] if chance else None,
            np.divide(draws["attribution"], draws["words"], out=np.full(RESAMPLES, np.nan), where=draws["words"] > 0),
            1.0,
            bounds=(0.0, 1e9),
        ),
        POINTING: BootstrapEstimate(value["pointing"], draws["pointing"], chance, bounds=(0.0, 1.0)),
    }

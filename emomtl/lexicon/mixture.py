"""The unigram mixture model of Bandhakavi et al. (2017), which separates an emotion's words by EM.

Source: "Lexicon based feature extraction for emotion text classification", Pattern Recognition
Letters 93, 133-142. The words of the texts with label e are drawn from P(w) = lambda_e theta_e(w) +
(1 - lambda_e) N(w): theta_e is the emotion's own language, N that of the background, which is
counted and held fixed. Since a word's origin depends on the word alone, EM needs no more of the
texts than how often each word stands in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The values of lambda that are tried."""

UNTUNED = 0.5
"""lambda of a label without any held-out row."""

SMOOTHING = 0.1
"""Added to each count of the background. The source has none; then a word that the background lacks
would be the emotion's alone by definition, and a held-out text with it impossible under every
lambda.
"""

TOLERANCE, COARSE = 1e-7, 1e-5
"""EM ends when no label's log-likelihood gains more than this part of itself.

The coarse one is for trying lambda.
"""

MOST = 1000
"""Iterations after which EM ends in any case."""


@dataclass(frozen=True)
class Fit:
    """`theta` (L, V), rows of probabilities or zeros; log-`likelihoods` (iterations, L)."""

    theta: NDArray[Any]
    likelihoods: NDArray[Any]


def background(counts: NDArray[Any]) -> NDArray[Any]:
    """N(w) from the counts (V,) of the background's words."""
    smoothed = counts + SMOOTHING
    return smoothed / smoothed.sum()  # type: ignore[no-any-return]


def expectation_maximisation(
    counts: NDArray[Any],
    noise: NDArray[Any],
    share: NDArray[Any],
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> Fit:
    """theta of each label from word counts (L, V), background `noise` (V,) and lambda `share` (L,).

    It starts from the relative frequencies. E: z = lambda theta / (lambda theta + (1 - lambda) N),
    the probability that the emotion wrote the word. M: theta proportional to z times the count. The
    likelihood is concave in theta, so where it ends is the maximum, whatever the start.
    """
    import numpy as np
    from scipy.special import xlogy

    own_share, rest = share[:, None], (1.0 - share)[:, None] * noise
    theta = _normalised(counts.astype(np.float64))
    likelihoods: list[NDArray[Any]] = []
    while True:
        own = own_share * theta
        mixed = own + rest
        likelihoods.append(xlogy(counts, mixed).sum(axis=1))
        ended = len(likelihoods) > most
        if len(likelihoods) > 1:
            gains = likelihoods[-1] - likelihoods[-2]
            ended = ended or bool((gains <= tolerance * np.abs(likelihoods[-1])).all())
        if ended:
            return Fit(theta, np.stack(likelihoods))
        theta = _normalised(counts * np.divide(own, mixed, out=np.zeros_like(own), where=mixed > 0))


def tuned_shares(counts: NDArray[Any], noise: NDArray[Any], held_out: NDArray[Any]) -> NDArray[Any]:
    """For each label (L,) the lambda of SHARES with the likeliest held-out counts (L, V).

    It is a choice of how much to smooth, and no measure of how emotional the texts are: above the
    true share, theta takes the background's words in and fits as well.
    """
    import numpy as np
    from scipy.special import xlogy

    found = []
    for value in SHARES:
        share = np.full(len(counts), value)
        theta = expectation_maximisation(counts, noise, share, COARSE).theta
        found.append(xlogy(held_out, value * theta + (1.0 - value) * noise).sum(axis=1))
    best = np.asarray(SHARES)[np.argmax(np.stack(found), axis=0)]
    return np.where((held_out.sum(axis=1) > 0) & (counts.sum(axis=1) > 0), best, UNTUNED)


def _normalised(rows: NDArray[Any]) -> NDArray[Any]:
    """Each row divided by its sum; a row of zeros stays as it is."""
    import numpy as np

    sums = rows.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0))

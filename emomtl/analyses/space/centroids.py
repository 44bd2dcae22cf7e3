"""The means of the texts of each label or group, their distances, and how far apart they lie for
the spread around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.metrics.bootstrap import BootstrapEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 5
"""Texts that a label must have for its centroid to be used: the mean of fewer is mostly noise."""

CHUNK = 100
"""Samples of the bootstrap whose centroids are held at a time."""


def unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """The vectors at length one (n, W); a zero vector stays."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1.0, lengths))


def centroids(
    vectors: NDArray[Any], members: NDArray[np.int64], number: int
) -> NDArray[np.float64]:
    """The mean vector of each of `number` groups (G, W), all texts counting alike; NaN for a group
    without texts.
    """
    whole = np.ones((1, len(members)), np.float32)
    return np.asarray(drawn_centroids(vectors, members, number, whole)[0])


def drawn_centroids(
    vectors: NDArray[Any], members: NDArray[np.int64], number: int, counts: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The same on samples of the texts, where text i counts `counts[b, i]` times: (B, G, W)."""
    found = np.full((len(counts), number, vectors.shape[1]), np.nan)
    for group in np.unique(members):
        mine = members == group
        weights = counts[:, mine].astype(np.float64)
        found[:, group] = (weights @ vectors[mine].astype(np.float64)) / weights.sum(
            axis=1, keepdims=True
        )
    return found


def cosine_distances(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine between every two centroids: (..., G, W) -> (..., G, G), zero on the diagonal."""
    directions = unit(means)
    found = 1.0 - directions @ np.swapaxes(directions, -1, -2)
    places = np.arange(means.shape[-2])
    found[..., places, places] = 0.0
    return np.asarray(found)


def pairs(square: NDArray[Any]) -> NDArray[Any]:
    """The entries above the diagonal, row by row: (..., K, K) -> (..., K (K - 1) / 2)."""
    rows, columns = np.triu_indices(square.shape[-1], 1)
    return np.asarray(square[..., rows, columns])


def drawn_pairs(
    vectors: NDArray[Any],
    members: NDArray[np.int64],
    kept: NDArray[np.int64],
    counts: NDArray[np.float32],
) -> NDArray[np.float64]:
    """The distances of the centroids of the labels `kept` on every sample: (B, pairs)."""
    number = int(members.max()) + 1
    parts = [
        pairs(
            cosine_distances(
                drawn_centroids(vectors, members, number, counts[start : start + CHUNK])[:, kept]
            )
        )
        for start in range(0, len(counts), CHUNK)
    ]
    return np.concatenate(parts)


def between_within(
    directions: NDArray[np.float64], members: NDArray[np.int64], counts: NDArray[np.float32]
) -> BootstrapEstimate:
    """The spread of the groups' centroids over the spread of texts around them, on vectors of
    length one.

    sum_g n_g |c_g - c|^2 / sum_i |x_i - c_g(i)|^2. Without structure (G - 1) / (n - G) is to be
    expected; Calinski and Harabasz's index is the quotient of the two. Undefined with one group, or
    where every text is its own.
    """
    groups, members = np.unique(members, return_inverse=True)
    texts, number = len(members), len(groups)
    if number < 2 or texts <= number:
        return BootstrapEstimate(None)
    sizes = np.bincount(members, minlength=number)
    every = np.concatenate([np.ones((1, texts), np.float32), counts])
    found = [
        _ratios(drawn_centroids(directions, members, number, every[start : start + CHUNK]), sizes)
        for start in range(0, len(every), CHUNK)
    ]
    ratios = np.concatenate(found)
    return BootstrapEstimate(float(ratios[0]), ratios[1:], chance=(number - 1) / (texts - number))


def _ratios(means: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Between over within for each sample; as |x| = 1, both follow from the lengths of the
    centroids.
    """
    share = sizes / sizes.sum()
    squares = (means**2).sum(axis=-1) @ share
    grand = ((share[:, None] * means).sum(axis=-2) ** 2).sum(axis=-1)
    return np.asarray((squares - grand) / np.maximum(1.0 - squares, 1e-12))

"""Whether texts of one label or group lie together: silhouettes, and the purity of nearest
neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.metrics.bootstrap import BootstrapEstimate, bootstrap_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = 10
"""Nearest texts that purity looks at."""


def silhouette(
    vectors: NDArray[Any], members: NDArray[np.int64], counts: NDArray[np.float32]
) -> BootstrapEstimate:
    """The mean silhouette (Rousseeuw, 1987) with cosine distances: -1 to 1, near 0 where groups do
    not lie apart.

    The interval is over texts, their silhouettes held as they are. Undefined with one group, or
    where every text is its own.
    """
    from sklearn.metrics import silhouette_samples

    number = len(np.unique(members))
    if not 2 <= number < len(members):
        return BootstrapEstimate(None)
    each = silhouette_samples(vectors, members, metric="cosine").astype(np.float64)
    return bootstrap_mean(each, np.ones(len(members), bool), counts)


def nearest(vectors: NDArray[Any]) -> NDArray[np.int64]:
    """For each text its k nearest others by cosine (n, k), the text itself never among them; fewer
    where there are fewer.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(vectors) - 1)
    found = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(vectors)
    return np.asarray(found.kneighbors(return_distance=False))


def purity(
    neighbours: NDArray[np.int64], members: NDArray[np.int64], counts: NDArray[np.float32]
) -> BootstrapEstimate:
    """The mean share of a text's nearest neighbours that have its label or group.

    Chance is the share of all other texts that have it, sum_g n_g (n_g - 1) / (n (n - 1)).
    """
    each = (members[neighbours] == members[:, None]).mean(axis=1)
    chance = (np.bincount(members)[members] - 1) / (len(members) - 1)
    return bootstrap_mean(each, np.ones(len(members), bool), counts, chance=float(chance.mean()))


def macro_purity(
    neighbours: NDArray[np.int64], members: NDArray[np.int64], counts: NDArray[np.float32]
) -> BootstrapEstimate:
    """The same, every group counting alike: the mean over groups of their texts' mean."""
    each = (members[neighbours] == members[:, None]).mean(axis=1)
    sizes = np.bincount(members)
    groups = np.flatnonzero(sizes)
    weights = np.zeros(len(members))
    for (
        group
    ) in groups:  # samples keep each group's size, so a text's weight is the same in all of them
        weights[members == group] = 1 / (sizes[group] * len(groups))
    chance = ((sizes[groups] - 1) / (len(members) - 1)).mean()
    return BootstrapEstimate(
        float(each @ weights), counts.astype(np.float64) @ (each * weights), chance=float(chance)
    )

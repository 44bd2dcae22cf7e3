"""Whether labels that lie near in valence, arousal and dominance lie near in the space: rank
correlation of distances.

Representational similarity analysis (Kriegeskorte, Mur and Bandettini, 2008, Frontiers in Systems
Neuroscience 2:4), tested by permuting labels (Mantel, 1967, Cancer Research 27:209-220).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.space.centroids import pairs
from emomtl.analyses.space.coordinates import DIMENSIONS
from emomtl.metrics.bootstrap import BootstrapEstimate
from emomtl.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Grouping

FEWEST_LABELS = 4
"""Labels with a centroid and coordinates that it takes: three have three distances, which any order
would rank.
"""

BATCH = 1_000
"""Permutations that are held at a time."""


@dataclass(frozen=True)
class Relation:
    """Distances of labels (pairs,) that the space's are compared with, `given` others that are held
    constant.
    """

    name: str
    distances: NDArray[np.float64]
    given: tuple[NDArray[np.float64], ...] = ()


def relations(
    points: NDArray[np.float64], names: Sequence[str], groupings: Sequence[Grouping]
) -> list[Relation]:
    """What is asked of a space: VAD and each dimension, then arousal and dominance given valence,
    then given the groupings too.

    `points` (K, 3) are the labels' coordinates. Distances are Euclidean.
    """
    vad = euclidean(points)
    one = {name: euclidean(points[:, [place]]) for place, name in enumerate(DIMENSIONS)}
    plane, valence = euclidean(points[:, 1:]), one["valence"]
    found = [Relation("VAD", vad), *(Relation(name, distances) for name, distances in one.items())]
    found += [Relation(f"{name} given valence", one[name], (valence,)) for name in DIMENSIONS[1:]]
    found.append(Relation("arousal and dominance given valence", plane, (valence,)))
    if groupings:
        apart = tuple(one for grouping in groupings for one in between_groups(grouping, names))
        found.append(Relation("VAD given groupings", vad, apart))
        found.append(
            Relation("arousal and dominance given valence and groupings", plane, (valence, *apart))
        )
    return found


def between_groups(grouping: Grouping, names: Sequence[str]) -> list[NDArray[np.float64]]:
    """For each two groups, and each group with itself, which pairs of labels are of them: 0 or 1,
    (pairs,) each.

    Whether two labels share a group would be too little to hold constant: positive lies farther
    from negative than from neutral.
    """
    places = np.array([grouping.names.index(grouping.parents[name]) for name in names])
    least, most = np.minimum(places[:, None], places), np.maximum(places[:, None], places)
    kinds = pairs(least * len(grouping.names) + most)
    return [(kinds == kind).astype(np.float64) for kind in np.unique(kinds)]


def euclidean(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances of every two points, rounded to a billionth of the largest: (K, D) ->
    (pairs,).

    0.9 - 0.2 and 0.8 - 0.1 differ in the sixteenth digit; without rounding such ties would be
    ranked by chance.
    """
    from scipy.spatial.distance import pdist

    found = pdist(points)
    unit = max(float(found.max()), 1e-300) * 1e-9
    return np.asarray(np.round(found / unit) * unit)


class PartialSpearman:
    """Spearman's rho between distances and a relation's, the partial one where others are held
    constant.

    The partial correlation is Pearson's between what is left of the ranks when the ranks of the
    others are regressed out.
    """

    def __init__(self, relation: Relation) -> None:
        from scipy.linalg import orth

        constant = [np.ones(len(relation.distances)), *(self.ranks(one) for one in relation.given)]
        self.basis = orth(np.stack(constant, axis=1), rcond=1e-10)
        self.left = self._left(self.ranks(relation.distances))

    @staticmethod
    def ranks(distances: NDArray[Any]) -> NDArray[np.float64]:
        """Ranks along the last axis, ties sharing their mean."""
        from scipy.stats import rankdata

        return np.asarray(rankdata(distances, axis=-1), np.float64)

    def of_ranks(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The correlation for ranks (..., pairs) -> (...); NaN where nothing is left."""
        mine = self._left(ranks)
        lengths = np.linalg.norm(mine, axis=-1) * np.linalg.norm(self.left)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(lengths > 1e-9 * ranks.shape[-1], (mine @ self.left) / lengths, np.nan)
        return np.asarray(np.clip(found, -1.0, 1.0))

    def _left(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(ranks - (ranks @ self.basis) @ self.basis.T)


def similarity(
    relation: Relation,
    distances: NDArray[np.float64],
    drawn: NDArray[np.float64],
    permutations: int,
    seed: int,
) -> BootstrapEstimate:
    """The correlation of a space's distances (K, K) with a relation's; `drawn` (B, pairs) are those
    on the bootstrap's samples.

    p = (1 + b) / (1 + n) for n random permutations of the labels, of which b give at least the
    correlation that was found: rows and columns of the space's distances are permuted together.
    Where all K! permutations are no more than n, every one is taken and p is their exact share.
    Partial correlations permute the space's distances, too (Legendre, 2000, method 1).
    """
    from scipy.stats import permutation_test

    correlation = PartialSpearman(relation)
    ranks = correlation.ranks(pairs(distances))
    value = float(correlation.of_ranks(ranks))
    if not np.isfinite(value):
        return BootstrapEstimate(None)
    square = np.zeros_like(distances)
    rows, columns = np.triu_indices(len(distances), 1)
    square[rows, columns] = square[columns, rows] = ranks

    def permuted(order: NDArray[Any], axis: int) -> NDArray[np.float64]:
        order = np.moveaxis(order, axis, -1).astype(np.int64)
        return correlation.of_ranks(pairs(square[order[..., :, None], order[..., None, :]]))

    test = permutation_test(
        (np.arange(len(distances)),),
        permuted,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=permutations,
        batch=BATCH,
        alternative="greater",
        rng=generator(seed, "mantel", relation.name),
    )
    draws = correlation.of_ranks(correlation.ranks(drawn))
    return BootstrapEstimate(value, draws, chance=0.0, p=float(test.pvalue), bounds=(-1.0, 1.0))

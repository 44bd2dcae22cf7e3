"""The texts in two dimensions: PCA, which is one and the same each time, and t-SNE with a fixed
seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERPLEXITY = 30
"""t-SNE's perplexity; with fewer than 91 texts a third of them."""

FIRST = 50
"""Principal components that t-SNE reads, as its authors do (van der Maaten and Hinton, 2008)."""


@dataclass(frozen=True)
class Flat:
    """Texts (n, 2) on two axes; `explained` is each axis's share of the variance, for PCA alone."""

    points: NDArray[np.float64]
    explained: tuple[float, ...] = ()


def pca(directions: NDArray[np.float64], like: NDArray[np.float64] | None = None) -> Flat:
    """The first two principal components of vectors of length one.

    The sign of an axis means nothing. The text farthest from 0 lies on its positive side; with
    `like` (n, 2), another projection of the same texts, each axis points so that it correlates with
    that one's, which makes panels alike.
    """
    from sklearn.decomposition import PCA

    axes = min(2, *directions.shape)
    found = PCA(axes, svd_solver="full").fit(directions)
    points = np.zeros((len(directions), 2))
    points[:, :axes] = found.transform(directions)
    for axis in range(axes):
        mine = points[:, axis]
        sign = (
            mine[np.abs(mine).argmax()]
            if like is None
            else mine @ (like[:, axis] - like[:, axis].mean())
        )
        points[:, axis] *= -1.0 if sign < 0 else 1.0
    return Flat(points, tuple(float(share) for share in found.explained_variance_ratio_))


def tsne(directions: NDArray[np.float64], seed: int) -> Flat:
    """t-SNE of the first 50 principal components, started from PCA. Distances between far groups
    mean little in it.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    first = PCA(min(FIRST, *directions.shape), svd_solver="full").fit_transform(directions)
    perplexity = min(PERPLEXITY, (len(directions) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, learning_rate="auto")
    return Flat(np.asarray(model.fit_transform(first), np.float64))

"""Everything that is measured of each space, and the differences from the first run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.space.centroids import FEWEST, between_within, centroids, cosine_distances, drawn_pairs, unit
from emomtl.analyses.space.coordinates import Coordinates
from emomtl.analyses.space.neighbours import macro_purity, nearest, purity, silhouette
from emomtl.analyses.space.severity import severity
from emomtl.analyses.space.similarity import FEWEST_LABELS, relations, similarity
from emomtl.analyses.space.vectors import Space, Texts
from emomtl.metrics.bootstrap import BootstrapEstimate, bootstrap_mean, stratified_counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILARITY, BETWEEN_WITHIN, SILHOUETTE = "similarity", "between_within", "silhouette"
PURITY, MACRO_PURITY = "purity", "macro_purity"
STAYS, STAYS_WHERE_POSSIBLE, VAD_DISTANCE, TOP = "stays", "stays_where_possible", "vad_distance", "top1_accuracy"

Key = tuple[str, str]
"""What is measured, and by what: ("silhouette", "ekman"), ("similarity", "arousal given valence")."""


@dataclass(frozen=True)
class Measured:
    """One space with its figures, their differences from the first run's, and the distances of its centroids (K, K)."""

    space: Space
    figures: Mapping[Key, BootstrapEstimate]
    differences: Mapping[Key, BootstrapEstimate]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """The texts by label and by each grouping (n,), and the labels that have enough texts for a centroid."""

    members: Mapping[str, NDArray[np.int64]]
    kept: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Texts) -> Levels:
        """The levels of the texts' taxonomy."""
        import numpy as np

        members = {"label": texts.gold}
        for grouping in texts.taxonomy.groupings:
            members[grouping.name] = parents(texts, grouping.name)[texts.gold]
        sizes = np.bincount(texts.gold, minlength=len(texts.taxonomy))
        return cls(members, np.flatnonzero(sizes >= FEWEST))


def parents(texts: Texts, grouping: str) -> NDArray[np.int64]:
    """The place of each label's group in a grouping (L,)."""
    import numpy as np

    found = texts.taxonomy.grouping(grouping)
    return np.array([found.names.index(found.parents[name]) for name in texts.taxonomy.names])


def measure(
    texts: Texts,
    spaces: Sequence[Space],
    coordinates: Coordinates,
    permutations: int,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
) -> list[Measured]:
    """The figures of every space over the same samples of the texts; differences are from the first space with answers."""
    levels, counts = Levels.of(texts), stratified_counts(texts.gold, seed)
    figures, distances = [], []
    for space in spaces:
        say(f"{space.name}: measuring")
        found, square = _figures(texts, levels, space, coordinates, counts, permutations, seed)
        figures.append(found)
        distances.append(square)
    reference = next((place for place, space in enumerate(spaces) if space.predicted is not None), 0)
    measured = []
    for place, space in enumerate(spaces):
        mine, theirs = figures[place], figures[reference]
        differences = {key: mine[key].minus(theirs[key]) for key in mine if key in theirs and place != reference}
        measured.append(Measured(space, mine, differences, distances[place]))
    return measured


def _figures(
    texts: Texts,
    levels: Levels,
    space: Space,
    coordinates: Coordinates,
    counts: NDArray[np.float32],
    permutations: int,
    seed: int,
) -> tuple[dict[Key, BootstrapEstimate], NDArray[np.float64]]:
    """All figures of one space, and the distances of its centroids."""
    found: dict[Key, BootstrapEstimate] = {}
    vectors, directions = space.vectors, unit(space.vectors)
    means = centroids(vectors, texts.gold, len(texts.taxonomy))[levels.kept]
    square = cosine_distances(means)
    found |= _similarities(texts, levels, vectors, square, coordinates, counts, permutations, seed)
    neighbours = nearest(vectors)
    for level, members in levels.members.items():
        found[BETWEEN_WITHIN, level] = between_within(directions, members, counts)
        found[SILHOUETTE, level] = silhouette(vectors, members, counts)
        found[PURITY, level] = purity(neighbours, members, counts)
        found[MACRO_PURITY, level] = macro_purity(neighbours, members, counts)
    if space.predicted is not None:
        found |= _errors(texts, space.predicted, coordinates, counts, permutations, seed)
    return found, square


def _similarities(
    texts: Texts,
    levels: Levels,
    vectors: NDArray[Any],
    square: NDArray[np.float64],
    coordinates: Coordinates,
    counts: NDArray[np.float32],
    permutations: int,
    seed: int,
) -> dict[Key, BootstrapEstimate]:
    """Similarity to VAD over the labels that have a centroid and coordinates; none where they are too few."""
    import numpy as np

    points = coordinates.matrix([texts.taxonomy.names[place] for place in levels.kept])
    known = np.isfinite(points).all(axis=1)
    if known.sum() < FEWEST_LABELS:
        return {}
    kept = levels.kept[known]
    drawn = drawn_pairs(vectors, texts.gold, kept, counts)
    asked = relations(points[known], [texts.taxonomy.names[place] for place in kept], texts.taxonomy.groupings)
    inner = square[np.ix_(known, known)]
    return {(SIMILARITY, one.name): similarity(one, inner, drawn, permutations, seed) for one in asked}


def _errors(
    texts: Texts,
    predicted: NDArray[np.int64],
    coordinates: Coordinates,
    counts: NDArray[np.float32],
    permutations: int,
    seed: int,
) -> dict[Key, BootstrapEstimate]:
    """How often the top label is right, and what the wrong ones are like."""
    import numpy as np

    gold = texts.gold
    right = (gold == predicted).astype(np.float64)
    found: dict[Key, BootstrapEstimate] = {(TOP, "label"): bootstrap_mean(right, np.ones(len(gold), bool), counts)}
    for grouping in texts.taxonomy.groupings:
        group = parents(texts, grouping.name)
        inside = (group[:, None] == group[None, :]).astype(np.float64)
        found[STAYS, grouping.name] = severity(inside, gold, predicted, counts, "greater", permutations, seed)
        alone = np.bincount(group)[group] == 1
        inside[alone, :], inside[:, alone] = np.nan, np.nan
        found[STAYS_WHERE_POSSIBLE, grouping.name] = severity(inside, gold, predicted, counts, "greater", permutations, seed)
    points = coordinates.matrix(texts.taxonomy.names)
    apart = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    if np.isfinite(apart).any():
        found[VAD_DISTANCE, "label"] = severity(apart, gold, predicted, counts, "less", permutations, seed)
    return found

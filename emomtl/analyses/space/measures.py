"""Everything that is measured of each space, and the differences from the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.space.centroids import (
    FEWEST,
    between_within,
    centroids,
    cosine_distances,
    drawn_pairs,
    unit,
)
from emomtl.analyses.space.coordinates import Coordinates, file_coordinates, taxonomy_coordinates
from emomtl.analyses.space.neighbours import macro_purity, nearest, purity, silhouette
from emomtl.analyses.space.severity import severity
from emomtl.analyses.space.similarity import FEWEST_LABELS, relations, similarity
from emomtl.analyses.space.vectors import Space, Texts, read_spaces
from emomtl.metrics.bootstrap import BootstrapEstimate, bootstrap_mean, stratified_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.runs import RunFolders
    from emomtl.analyses.space import SpaceAnalysis

SIMILARITY, BETWEEN_WITHIN, SILHOUETTE = "similarity", "between_within", "silhouette"
PURITY, MACRO_PURITY = "purity", "macro_purity"
STAYS, STAYS_WHERE_POSSIBLE, VAD_DISTANCE = "stays", "stays_where_possible", "vad_distance"
TOP = "top1_accuracy"

Key = tuple[str, str]
"""What is measured, and by what: ("silhouette", "ekman"), ("similarity", "arousal")."""


@dataclass(frozen=True)
class Measured:
    """One space: its numbers, their differences from the first run's, its centroids' distances (K,
    K).
    """

    space: Space
    values: Mapping[Key, BootstrapEstimate]
    differences: Mapping[Key, BootstrapEstimate]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """The texts by label and by each grouping (n,), and the labels with enough texts for a
    centroid.
    """

    members: Mapping[str, NDArray[np.int64]]
    kept: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Texts) -> Levels:
        """The levels of the texts' taxonomy."""
        members = {"label": texts.gold}
        for grouping in texts.taxonomy.groupings:
            members[grouping.name] = parents(texts, grouping.name)[texts.gold]
        sizes = np.bincount(texts.gold, minlength=len(texts.taxonomy))
        return cls(members, np.flatnonzero(sizes >= FEWEST))


@dataclass(frozen=True)
class Spaces:
    """All spaces of one analysis, measured over the same texts."""

    texts: Texts
    coordinates: Coordinates
    measured: Sequence[Measured]
    permutations: int
    seed: int
    notes: Sequence[str] = ()

    @property
    def labels_with_centroid(self) -> list[str]:
        """The labels that have enough texts for a centroid."""
        return [self.texts.taxonomy.names[place] for place in Levels.of(self.texts).kept]


def parents(texts: Texts, grouping: str) -> NDArray[np.int64]:
    """The place of each label's group in a grouping (L,)."""
    of = texts.taxonomy.grouping(grouping)
    return np.array([of.names.index(of.parents[name]) for name in texts.taxonomy.names])


def measure_spaces(runs: RunFolders, analysis: SpaceAnalysis) -> Spaces:
    """Encode the texts with every run and measure each space over the same samples of them.

    Differences are from the first space that has predictions.
    """
    texts, spaces, notes = read_spaces(runs, analysis)
    coordinates = taxonomy_coordinates(texts.taxonomy)
    if analysis.vad is not None:
        coordinates = file_coordinates(analysis.vad, texts.taxonomy, analysis.columns)
    counts = stratified_counts(texts.gold, analysis.seed)
    measure = Measure(
        texts, Levels.of(texts), coordinates, counts, analysis.permutations, analysis.seed
    )
    values, distances = [], []
    for space in spaces:
        runs.say(f"{space.name}: measuring")
        numbers, square = measure(space)
        values.append(numbers)
        distances.append(square)
    with_predictions = [n for n, space in enumerate(spaces) if space.predicted is not None]
    reference = with_predictions[0] if with_predictions else 0
    measured = []
    for place, space in enumerate(spaces):
        differences = {}
        if place != reference:
            for key, value in values[place].items():
                if key in values[reference]:
                    differences[key] = value.minus(values[reference][key])
        measured.append(Measured(space, values[place], differences, distances[place]))
    return Spaces(texts, coordinates, measured, analysis.permutations, analysis.seed, notes)


@dataclass(frozen=True)
class Measure:
    """What every space is measured with; `counts` (B, n) are the bootstrap samples of the texts."""

    texts: Texts
    levels: Levels
    coordinates: Coordinates
    counts: NDArray[np.float32]
    permutations: int
    seed: int

    def __call__(self, space: Space) -> tuple[dict[Key, BootstrapEstimate], NDArray[np.float64]]:
        """All numbers of one space, and the distances of its centroids (K, K)."""
        texts, counts, vectors = self.texts, self.counts, space.vectors
        means = centroids(vectors, texts.gold, len(texts.taxonomy))[self.levels.kept]
        distances = cosine_distances(means)
        values = self._similarities(vectors, distances)
        directions, neighbours = unit(vectors), nearest(vectors)
        for level, members in self.levels.members.items():
            values[BETWEEN_WITHIN, level] = between_within(directions, members, counts)
            values[SILHOUETTE, level] = silhouette(vectors, members, counts)
            values[PURITY, level] = purity(neighbours, members, counts)
            values[MACRO_PURITY, level] = macro_purity(neighbours, members, counts)
        if space.predicted is not None:
            values |= self._errors(space.predicted)
        return values, distances

    def _similarities(
        self, vectors: NDArray[Any], distances: NDArray[np.float64]
    ) -> dict[Key, BootstrapEstimate]:
        """Similarity to VAD over the labels that have a centroid and coordinates."""
        taxonomy, kept = self.texts.taxonomy, self.levels.kept
        points = self.coordinates.matrix([taxonomy.names[place] for place in kept])
        known = np.isfinite(points).all(axis=1)
        if known.sum() < FEWEST_LABELS:
            return {}
        names = [taxonomy.names[place] for place in kept[known]]
        drawn = drawn_pairs(vectors, self.texts.gold, kept[known], self.counts)
        inner = distances[np.ix_(known, known)]
        return {
            (SIMILARITY, relation.name): similarity(
                relation, inner, drawn, self.permutations, self.seed
            )
            for relation in relations(points[known], names, taxonomy.groupings)
        }

    def _errors(self, predicted: NDArray[np.int64]) -> dict[Key, BootstrapEstimate]:
        """How often the top label is right, and what the wrong ones are like."""
        gold = self.texts.gold
        right = (gold == predicted).astype(np.float64)
        everything = np.ones(len(gold), bool)
        values = {(TOP, "label"): bootstrap_mean(right, everything, self.counts)}
        test = (gold, predicted, self.counts)
        for grouping in self.texts.taxonomy.groupings:
            group = parents(self.texts, grouping.name)
            inside = (group[:, None] == group[None, :]).astype(np.float64)
            values[STAYS, grouping.name] = severity(
                inside, *test, "greater", self.permutations, self.seed
            )
            # a label that is a group of its own cannot be confused within its group
            alone = np.bincount(group)[group] == 1
            inside[alone, :], inside[:, alone] = np.nan, np.nan
            values[STAYS_WHERE_POSSIBLE, grouping.name] = severity(
                inside, *test, "greater", self.permutations, self.seed
            )
        points = self.coordinates.matrix(self.texts.taxonomy.names)
        distances = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
        if np.isfinite(distances).any():
            values[VAD_DISTANCE, "label"] = severity(
                distances, *test, "less", self.permutations, self.seed
            )
        return values

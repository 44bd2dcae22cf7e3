"""Spaces as tables and as JSON, and what a reader must know beside the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emomtl.analyses.runs import LOOK_AT_TEST
from emomtl.analyses.space.centroids import FEWEST
from emomtl.analyses.space.coordinates import DIMENSIONS
from emomtl.analyses.space.measures import (
    BETWEEN_WITHIN,
    MACRO_PURITY,
    PURITY,
    SILHOUETTE,
    SIMILARITY,
    STAYS,
    STAYS_WHERE_POSSIBLE,
    TOP,
    VAD_DISTANCE,
    Measured,
    Spaces,
    parents,
)
from emomtl.analyses.space.neighbours import NEIGHBOURS
from emomtl.contracts.analysis import Cell, Table
from emomtl.contracts.taxonomy import Grouping
from emomtl.metrics.bootstrap import RESAMPLES
from emomtl.report.cells import DIFFERENCE_COLUMNS, difference_cells, estimate_cells

TESTED = ("chance", "shuffled", "p")
ABOUT_TESTED = (
    "chance: another label by frequency. shuffled: the run's own wrong predictions, permuted. p: of"
    " such permutations, one-sided."
)


def cautions(spaces: Spaces) -> list[str]:
    """Which numbers only repeat what a run was taught."""
    lines = _related_groupings(spaces.texts.taxonomy.groupings)
    for measured in spaces.measured:
        for grouping, task in measured.space.taught.items():
            lines.append(
                f"{measured.space.name} also trains {task}, whose labels are the groups of "
                f"{grouping}: that its space is ordered by {grouping} is what it was taught, "
                "and no finding."
            )
    shares = explained(spaces)
    for grouping, share in shares.items():
        parts = ", ".join(f"{value:.0%} in {name}" for name, value in share.items())
        lines.append(f"Groups of {grouping} explain so much of the labels' variance: {parts}.")
    if shares:
        lines.append(
            "So similarity to VAD, and to valence above all, repeats what the groups say. Evidence "
            "that does not follow from the groups is arousal and dominance given valence, and VAD "
            "given the groupings."
        )
    return lines


def _related_groupings(groupings: Sequence[Grouping]) -> list[str]:
    """Sentences on groupings that share a group, or of which one decides the other."""
    lines = []
    for place, one in enumerate(groupings):
        for other in groupings[place + 1 :]:
            same = []
            for name, members in one.groups.items():
                for other_name, other_members in other.groups.items():
                    if set(members) == set(other_members) and len(members) > 1:
                        same.append(f"{name} of {one.name} and {other_name} of {other.name}")
            if same:
                taught = "to be taught the one is to be taught the other"
                lines.append(f"{', and '.join(same)} are one set of labels each: {taught}.")
            for fine, coarse in ((one, other), (other, one)):
                nested = all(len(coarse.fold(members)) == 1 for members in fine.groups.values())
                if nested and len(fine.names) > len(coarse.names):
                    lines.append(
                        f"A label's group in {fine.name} decides its group in {coarse.name}."
                    )
    return lines


def explained(spaces: Spaces) -> dict[str, dict[str, float]]:
    """The share of the labels' variance between groups (eta squared), by grouping and dimension."""
    points = spaces.coordinates.matrix(spaces.texts.taxonomy.names)
    known = np.isfinite(points).all(axis=1)
    shares: dict[str, dict[str, float]] = {}
    for grouping in spaces.texts.taxonomy.groupings if known.sum() > 2 else ():
        group = parents(spaces.texts, grouping.name)[known]
        means = np.array([points[known][group == one].mean(axis=0) for one in group])
        total, between = points[known].var(axis=0), means.var(axis=0)
        shares[grouping.name] = {
            name: float(between[place] / total[place])
            for place, name in enumerate(DIMENSIONS)
            if total[place] > 0
        }
    return shares


def remarks(spaces: Spaces) -> list[str]:
    """What was taken and left out."""
    texts, coordinates = spaces.texts, spaces.coordinates
    names = spaces.labels_with_centroid
    few = [name for name in texts.taxonomy.names if name not in names]
    lines = [
        (
            f"{len(texts.gold):,} of the {texts.rows:,} {texts.split} rows: those with exactly one"
            " label (and no more than --limit)."
        ),
        (
            f"Intervals hold 95% of {RESAMPLES:,} samples of the texts, drawn within labels and the"
            " same for every run. They say nothing of other seeds."
        ),
    ]
    if texts.split == "test":
        lines.append(LOOK_AT_TEST)
    if few:
        lines.append(f"Too few texts for a centroid (below {FEWEST}): {', '.join(few)}.")
    if not coordinates.points:
        lines.append(
            "The labels have no coordinates, so nothing is said of VAD; --vad names a file with"
            " them."
        )
    else:
        lines.append(
            f"Valence, arousal and dominance are those of {coordinates.source}, in its own units."
        )
        if coordinates.missing:
            missing = ", ".join(coordinates.missing)
            lines.append(f"Without coordinates, and left out of what needs them: {missing}.")
    return [*lines, *spaces.notes]


NEAREST = f"Purity of the {NEIGHBOURS} nearest neighbours"
MEASURES: dict[str, tuple[tuple[str, str, str], tuple[str, ...], tuple[str, ...]]] = {
    SIMILARITY: (
        ("Similarity of label distances", "distances compared with", "Spearman's rho"),
        ("p",),
        (),
    ),
    PURITY: ((NEAREST, "by", "purity"), ("chance",), ("All texts count alike.",)),
    MACRO_PURITY: (
        (f"{NEAREST}, groups alike", "by", "macro purity"),
        ("chance",),
        ("All groups count alike.",),
    ),
    SILHOUETTE: (
        ("Silhouette", "by", "silhouette"),
        (),
        ("Cosine distances; near 0 where groups do not lie apart.",),
    ),
    BETWEEN_WITHIN: (
        ("Spread between groups over spread within", "by", "between / within"),
        ("chance",),
        ("On vectors of length one.",),
    ),
    TOP: (("Top label", "by", TOP), (), ()),
    STAYS: (
        ("Wrong answers that stay in the right group", "group of", "share"),
        TESTED,
        (ABOUT_TESTED,),
    ),
    STAYS_WHERE_POSSIBLE: (
        ("The same among labels that share their group with others", "group of", "share"),
        TESTED,
        (ABOUT_TESTED, "Labels that are a group of their own are left out."),
    ),
    VAD_DISTANCE: (
        ("Distance in VAD from the right to the wrong label", "by", "mean distance"),
        TESTED,
        (ABOUT_TESTED,),
    ),
}
"""Of each measure the names of its table, its first column and the value; the fields of
`BootstrapEstimate` that follow the interval; and notes. In the order in which they are read."""


def tables(spaces: Spaces) -> list[Table]:
    """The spaces, then a table for each measure; `difference` is from the first run."""
    about = tuple(
        (one.space.name, one.space.about, one.space.vectors.shape[1]) for one in spaces.measured
    )
    made = [Table("Spaces", ("run", "what it is", "width"), about, tuple(remarks(spaces)))]
    for measure, ((title, by_column, value_column), facts, notes) in MEASURES.items():
        if measure == SIMILARITY:
            number = len(spaces.labels_with_centroid)
            test = f"p: {spaces.permutations:,} permutations of the labels, one-sided."
            notes = (f"{test} {number} labels have a centroid.", *cautions(spaces))
        rows: list[tuple[Cell, ...]] = []
        taken = [key for one in spaces.measured for key in one.values if key[0] == measure]
        for key in dict.fromkeys(taken):
            for one in spaces.measured:
                if key in one.values:
                    value = one.values[key]
                    cells = (*estimate_cells(value), *(getattr(value, fact) for fact in facts))
                    difference = difference_cells(one.differences.get(key))
                    rows.append((key[1], one.space.name, *cells, *difference))
        columns = (by_column, "run", value_column, "low", "high", *facts, *DIFFERENCE_COLUMNS)
        if rows:
            made.append(Table(title, columns, tuple(rows), notes))
    return made


def as_json(spaces: Spaces) -> dict[str, Any]:
    """Every number in full, undefined ones as null; no text of the corpus."""
    texts = spaces.texts
    sizes = np.bincount(texts.gold, minlength=len(texts.taxonomy)).tolist()
    points = {name: list(point) for name, point in spaces.coordinates.points.items()}
    source = spaces.coordinates.source
    return {
        "task": texts.task,
        "split": texts.split,
        "rows": texts.rows,
        "texts": len(texts.gold),
        "labels": dict(zip(texts.taxonomy.names, sizes, strict=True)),
        "centroids_of": spaces.labels_with_centroid,
        "permutations": spaces.permutations,
        "resamples": RESAMPLES,
        "seed": spaces.seed,
        "vad": {"source": source, "points": points, "explained": explained(spaces)},
        "cautions": cautions(spaces),
        "notes": remarks(spaces),
        "runs": [_run(one) for one in spaces.measured],
    }


def _run(one: Measured) -> dict[str, Any]:
    values: dict[str, dict[str, Any]] = {}
    for key, value in one.values.items():
        entry: dict[str, Any] = value.as_json()
        if key in one.differences:
            entry["difference"] = one.differences[key].as_json()
        values.setdefault(key[0], {})[key[1]] = entry
    return {
        "run": one.space.name,
        "about": one.space.about,
        "taught": dict(one.space.taught),
        "figures": values,
        "distances": one.distances.tolist(),
    }

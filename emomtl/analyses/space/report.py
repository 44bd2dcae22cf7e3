"""What was found, as tables, as JSON, and as one Markdown text with its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.space.centroids import FEWEST
from emomtl.analyses.space.coordinates import DIMENSIONS, Coordinates
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
    Levels,
    Measured,
    parents,
)
from emomtl.analyses.space.neighbours import NEIGHBOURS
from emomtl.analyses.space.vectors import Texts
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import RESAMPLES, BootstrapEstimate
from emomtl.report.formats.markdown import escape, markdown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIFFERENCE = ("difference", "its low", "its high")


@dataclass(frozen=True)
class Analysis:
    """Everything that one call of `emomtl analyse space` found."""

    texts: Texts
    coordinates: Coordinates
    measured: Sequence[Measured]
    permutations: int
    seed: int
    notes: Sequence[str]

    @property
    def kept(self) -> list[str]:
        """The labels that have a centroid."""
        return [self.texts.taxonomy.names[place] for place in Levels.of(self.texts).kept]


def cautions(found: Analysis) -> list[str]:
    """What a reader must know before the numbers: which of them say again what a run was taught."""
    taxonomy, lines = found.texts.taxonomy, []
    groupings = taxonomy.groupings
    for place, one in enumerate(groupings):
        for other in groupings[place + 1 :]:
            same = [(a, b) for a, x in one.groups.items() for b, y in other.groups.items() if set(x) == set(y) and len(x) > 1]
            if same:
                pairs = ", and ".join(f"{a} of {one.name} and {b} of {other.name}" for a, b in same)
                lines.append(f"{pairs} are one set of labels each: to be taught the one is to be taught the other.")
            for fine, coarse in ((one, other), (other, one)):
                nested = all(len(coarse.fold(members)) == 1 for members in fine.groups.values())
                if nested and len(fine.names) > len(coarse.names):
                    lines.append(f"A label's group in {fine.name} decides its group in {coarse.name}.")
    for space in (one.space for one in found.measured):
        for taught, task in space.taught.items():
            said = f"{space.name} also trains {task}, whose labels are the groups of {taught}"
            lines.append(f"{said}: that its space is ordered by {taught} is what it was taught, and no finding.")
    shares = explained(found)
    for grouping, share in shares.items():
        parts = ", ".join(f"{value:.0%} in {name}" for name, value in share.items())
        lines.append(f"Groups of {grouping} explain so much of the labels' variance: {parts}.")
    if shares:
        lines.append(
            "So similarity to VAD, and to valence above all, says again what the groups say. Evidence that does not follow from "
            "the groups is arousal and dominance given valence, and VAD given the groupings."
        )
    return lines


def explained(found: Analysis) -> dict[str, dict[str, float]]:
    """By grouping and dimension, the share of the variance of labels with coordinates that lies between groups (eta squared)."""
    import numpy as np

    points = found.coordinates.matrix(found.texts.taxonomy.names)
    known = np.isfinite(points).all(axis=1)
    shares: dict[str, dict[str, float]] = {}
    for grouping in found.texts.taxonomy.groupings if known.sum() > 2 else ():
        group = parents(found.texts, grouping.name)[known]
        means = np.array([points[known][group == one].mean(axis=0) for one in group])
        total = points[known].var(axis=0)
        between = means.var(axis=0)
        shares[grouping.name] = {
            name: float(between[place] / total[place]) for place, name in enumerate(DIMENSIONS) if total[place] > 0
        }
    return shares


def remarks(found: Analysis) -> list[str]:
    """What was taken and left out."""
    texts, kept = found.texts, set(found.kept)
    few = [name for name in texts.taxonomy.names if name not in kept]
    lines = [
        f"{len(texts.gold):,} of the {texts.rows:,} {texts.split} rows: those with exactly one label (and no more than --limit).",
        f"Intervals hold 95% of {RESAMPLES:,} samples of the texts, drawn within labels and the same for every run. They say "
        "nothing of other seeds.",
    ]
    if texts.split == "test":
        lines.append("This was a look at test, and scores.json does not count it: choose nothing by it.")
    if few:
        lines.append(f"Too few texts for a centroid (below {FEWEST}): {', '.join(few)}.")
    if found.coordinates.points:
        lines.append(f"Valence, arousal and dominance are those of {found.coordinates.source}, in its own units.")
        if found.coordinates.missing:
            lines.append(f"Without coordinates, and left out of what needs them: {', '.join(found.coordinates.missing)}.")
    else:
        lines.append("The labels have no coordinates, so nothing is said of VAD; --vad names a file with them.")
    return [*lines, *found.notes]


def tables(found: Analysis) -> list[Table]:
    """All tables, in the order in which they are read; `difference` is from the first run, over the same samples."""
    about = tuple((one.space.name, one.space.about, one.space.vectors.shape[1]) for one in found.measured)
    made = [Table("Spaces", ("run", "what it is", "width"), about, tuple(remarks(found)))]
    columns: tuple[str, ...] = ("distances compared with", "run", "Spearman's rho", "low", "high", "p", *DIFFERENCE)
    note = f"p: {found.permutations:,} permutations of the labels, one-sided. {len(found.kept)} labels have a centroid."
    made += _table(found, "Similarity of label distances", (SIMILARITY,), columns, ("p",), (note, *cautions(found)))
    chances = ("chance",)
    for measure, title, name, said in (
        (PURITY, f"Purity of the {NEIGHBOURS} nearest neighbours", "purity", "All texts count alike."),
        (MACRO_PURITY, f"Purity of the {NEIGHBOURS} nearest neighbours, groups alike", "macro purity", "All groups count alike."),
        (SILHOUETTE, "Silhouette", "silhouette", "Cosine distances; near 0 where groups do not lie apart."),
        (BETWEEN_WITHIN, "Spread between groups over spread within", "between / within", "On vectors of length one."),
    ):
        some = () if measure == SILHOUETTE else chances
        made += _table(found, title, (measure,), ("by", "run", name, "low", "high", *some, *DIFFERENCE), some, (said,))
    made += _table(found, "Top label", (TOP,), ("by", "run", TOP, "low", "high", *DIFFERENCE), (), ())
    kinds = ("chance", "shuffled", "p")
    said = "chance: another label by frequency. shuffled: the run's own wrong answers dealt anew. p: of such deals, one-sided."
    columns = ("group of", "run", "share", "low", "high", *kinds, *DIFFERENCE)
    made += _table(found, "Wrong answers that stay in the right group", (STAYS,), columns, kinds, (said,))
    title, more = "The same among labels that share their group with others", "Labels that are a group of their own are left out."
    made += _table(found, title, (STAYS_WHERE_POSSIBLE,), columns, kinds, (said, more))
    columns = ("by", "run", "mean distance", "low", "high", *kinds, *DIFFERENCE)
    made += _table(found, "Distance in VAD from the right to the wrong label", (VAD_DISTANCE,), columns, kinds, (said,))
    return made


def _table(
    found: Analysis, title: str, measures: Sequence[str], columns: tuple[str, ...], kinds: Sequence[str], notes: tuple[str, ...]
) -> list[Table]:
    """A row for each thing that a measure was taken by and each space; no table where there is none."""
    rows = tuple(_rows(found, measures, kinds))
    return [Table(title, columns, rows, notes)] if rows else []


def _rows(found: Analysis, measures: Sequence[str], kinds: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    keys = dict.fromkeys(key for one in found.measured for key in one.figures if key[0] in measures)
    for key in keys:
        for one in found.measured:
            if key not in one.figures:
                continue
            figure = one.figures[key]
            difference = one.differences.get(key)
            low, high = figure.interval or (None, None)
            kept = [getattr(figure, kind) for kind in kinds]
            tail: tuple[Cell, ...] = ("", "", "")
            if difference is not None:
                tail = (difference.value, *(difference.interval or (None, None)))
            yield (key[1], one.space.name, figure.value, low, high, *kept, *tail)


def as_json(found: Analysis) -> dict[str, Any]:
    """Every number in full, undefined ones as null; no text of the corpus."""
    import numpy as np

    texts = found.texts
    sizes = np.bincount(texts.gold, minlength=len(texts.taxonomy))
    points = {name: list(point) for name, point in found.coordinates.points.items()}
    return {
        "task": texts.task,
        "split": texts.split,
        "rows": texts.rows,
        "texts": len(texts.gold),
        "labels": {name: int(size) for name, size in zip(texts.taxonomy.names, sizes, strict=True)},
        "centroids_of": found.kept,
        "permutations": found.permutations,
        "resamples": RESAMPLES,
        "seed": found.seed,
        "vad": {"source": found.coordinates.source, "points": points, "explained": explained(found)},
        "cautions": cautions(found),
        "notes": remarks(found),
        "runs": [_run(one) for one in found.measured],
    }


def _run(one: Measured) -> dict[str, Any]:
    figures: dict[str, dict[str, Any]] = {}
    for (measure, by), figure in one.figures.items():
        entry = _figure(figure)
        if (measure, by) in one.differences:
            entry["difference"] = _figure(one.differences[measure, by])
        figures.setdefault(measure, {})[by] = entry
    return {
        "run": one.space.name,
        "about": one.space.about,
        "taught": dict(one.space.taught),
        "figures": figures,
        "distances": _numbers(one.distances),
    }


def _figure(figure: BootstrapEstimate) -> dict[str, Any]:
    low, high = figure.interval or (None, None)
    known = {"chance": figure.chance, "shuffled": figure.shuffled, "p": figure.p}
    return {"value": figure.value, "low": low, "high": high, **{key: value for key, value in known.items() if value is not None}}


def _numbers(square: NDArray[np.float64]) -> list[list[float]]:
    return [[float(value) for value in row] for row in square]


def as_markdown(found: Analysis, pictures: Mapping[str, str]) -> str:
    """Cautions first, then tables, then pictures (caption to relative path)."""
    texts = found.texts
    parts = [f"# The embedding space of {escape(texts.task)} on {escape(texts.split)}", ""]
    parts += [f"- {escape(line)}" for line in cautions(found)]
    return "\n".join(parts) + "\n\n" + markdown(tables(found), pictures)

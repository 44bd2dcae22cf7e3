"""Valence, arousal and dominance of labels: from the taxonomy, or from a lexicon file of the user's
own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem, clean, quoted, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS = ("valence", "arousal", "dominance")
COLUMNS = {
    "label": ("label", "word", "term"),
    "valence": ("valence", "v", "v.mean.sum"),
    "arousal": ("arousal", "a", "a.mean.sum"),
    "dominance": ("dominance", "d", "d.mean.sum"),
}
"""Names of columns that are known, in any case: those of NRC-VAD (Word, term) and of Warriner et
al. (V.Mean.Sum) too.
"""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Coordinates:
    """(valence, arousal, dominance) of labels by name, where they are from, and the labels that
    have none.
    """

    points: Mapping[str, Point]
    source: str
    missing: tuple[str, ...]

    def matrix(self, names: Sequence[str]) -> NDArray[np.float64]:
        """The coordinates of labels (K, 3); NaN for those that have none."""
        return np.array(
            [self.points.get(name, (np.nan,) * 3) for name in names], np.float64
        ).reshape(-1, 3)


def taxonomy_coordinates(taxonomy: Taxonomy) -> Coordinates:
    """The coordinates that the labels of a taxonomy carry."""
    points = {label.name: label.vad for label in taxonomy.labels if label.vad is not None}
    return Coordinates(
        points, "the taxonomy", tuple(name for name in taxonomy.names if name not in points)
    )


def file_coordinates(path: Path, taxonomy: Taxonomy, columns: Sequence[str] = ()) -> Coordinates:
    """The coordinates that a CSV, TSV, JSONL or Parquet file gives for the labels' words, in the
    file's own units.

    `columns` names the four columns (word, valence, arousal, dominance); left out, they are known
    by their usual names. Words match in any case. A label with an empty cell, or without a row, has
    no coordinates. EmomtlError for a column that is missing, a cell that is no number, or a label
    that two rows give different numbers.
    """
    from emomtl.contracts.sources import Files
    from emomtl.data.locate import locate

    if not path.is_file():
        raise EmomtlError(
            Problem(
                "--vad",
                f"there is no file {clean(str(path), 400)}",
                "name a CSV, TSV, JSONL or Parquet file",
            )
        )
    located = locate([Files("*")], str(path.resolve()), path.parent, "vad")
    wanted = {name.lower(): name for name in taxonomy.names}
    named: tuple[str, ...] = ()
    points: dict[str, Point] = {}
    for split in located.splits:
        for row in located.rows(split):
            named = named or _columns(list(row.values), columns)
            word = row.values[named[0]]
            label = wanted.get(word.strip().lower()) if isinstance(word, str) else None
            if label is None:
                continue
            point = _point(
                [row.values[column] for column in named[1:]], named[1:], f"{path.name}:{row.number}"
            )
            if point is not None and points.setdefault(label, point) != point:
                raise EmomtlError(
                    Problem(
                        "--vad",
                        f"'{label}' stands there twice with different numbers",
                        "keep one row of it",
                    )
                )
    if not points:
        raise EmomtlError(
            Problem(
                "--vad", f"{path.name} has none of the labels", f"such as '{taxonomy.names[0]}'"
            )
        )
    return Coordinates(
        points, path.name, tuple(name for name in taxonomy.names if name not in points)
    )


def _columns(present: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """The names of the four columns as the file spells them."""
    if chosen:
        unknown = [name for name in chosen if name not in present]
        if unknown:
            raise EmomtlError(
                Problem(
                    "--vad-columns",
                    f"there is no column '{unknown[0]}'",
                    suggest(unknown[0], present),
                )
            )
        return tuple(chosen)
    lower = {str(name).lower(): name for name in present}
    found = []
    for column, known in COLUMNS.items():
        name = next((lower[one] for one in known if one in lower), None)
        if name is None:
            remedy = "--vad-columns WORD,VALENCE,AROUSAL,DOMINANCE names them"
            raise EmomtlError(
                Problem(
                    "--vad",
                    f"there is no column '{column}' in {', '.join(map(str, present[:8]))}",
                    remedy,
                )
            )
        found.append(name)
    return tuple(found)


def _point(cells: Sequence[Any], names: Sequence[str], place: str) -> Point | None:
    """Three numbers; None where a cell is empty."""
    values = []
    for cell, name in zip(cells, names, strict=True):
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise EmomtlError(
                Problem(
                    place,
                    f"'{name}' is {quoted(cell)}, not a number",
                    "leave it empty where unknown",
                )
            )
        values.append(value)
    return (values[0], values[1], values[2])

"""Where runs put the texts of each label, beside valence, arousal and dominance: `emomtl analyse space` as a part of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.space.measures import PURITY, SILHOUETTE, SIMILARITY, STAYS, TOP, VAD_DISTANCE
from emomtl.contracts.analysis import Cell, Table
from emomtl.report.cells import spelt
from emomtl.report.parts import Part

if TYPE_CHECKING:
    from emomtl.analyses.space.report import Analysis
    from emomtl.metrics.bootstrap import BootstrapEstimate
    from emomtl.plugins.discovery import Plugins

TEXTS = 2_000
"""Texts that are looked at: those whose hash is lowest."""

POINTS = 5_000
"""Points that all pictures of a page have together, by which its size is bounded."""

PERMUTATIONS = 1_000

MEASURES = {
    SIMILARITY: "label distances: Spearman's rho with those of",
    TOP: "right top answers",
    STAYS: "wrong answers that stay in the right group of",
    VAD_DISTANCE: "distance in VAD from the right to the wrong label",
    PURITY: "share of nearest neighbours of the same",
    SILHOUETTE: "silhouette by",
}
"""What the table says of each measure, in its order."""


def space_part(
    runs: Sequence[Path],
    names: Sequence[str],
    discover: Callable[[], Plugins],
    split: str,
    sources: Mapping[str, str],
    device: str,
    say: Callable[[str], None],
) -> Part:
    """The pictures and a table of the runs' first common task with labels; EmomtlError where they share none, or other texts."""
    from emomtl.analyses.space.analyse import analyse
    from emomtl.analyses.space.pictures import pictures
    from emomtl.analyses.space.report import cautions, remarks
    from emomtl.analyses.space.vectors import Question, shared_task

    task = shared_task(runs, None)
    place = {task: sources[task]} if task in sources else {}
    question = Question(task, split, sources=place, device=device, limit=TEXTS)
    found = analyse(runs, discover, question, PERMUTATIONS, say=say)
    drawn = pictures(found.texts, found.measured, found.coordinates, found.seed, say, POINTS)
    about = (
        f"Where the encoders put texts of {task} with exactly one label, and whether labels that feel alike lie near each other. "
        "`emomtl analyse space` says more."
    )
    title = "Embedding space against valence, arousal and dominance"
    return Part(title, about, (_table(found, names, [*cautions(found), *remarks(found)]),), tuple(drawn))


def _table(found: Analysis, names: Sequence[str], notes: Sequence[str]) -> Table:
    """A row for each measure and what it is taken by, runs beside each other with their intervals."""
    keys = dict.fromkeys(key for measure in MEASURES for one in found.measured for key in one.figures if key[0] == measure)
    columns = [text for name in names for text in (name, f"{name}: 95%")]
    rows: list[tuple[Cell, ...]] = []
    for measure, by in keys:
        figures = [one.figures.get((measure, by)) for one in found.measured]
        rows.append((MEASURES[measure], by, *(cell for figure in figures for cell in _cells(figure))))
    return Table("Measures of the space", ("measure", "by", *columns), tuple(rows), tuple(notes))


def _cells(figure: BootstrapEstimate | None) -> tuple[Cell, Cell]:
    """A value, and its interval in words."""
    if figure is None:
        return "", ""
    return figure.value, " to ".join(spelt(edge) for edge in figure.interval) if figure.interval is not None else ""

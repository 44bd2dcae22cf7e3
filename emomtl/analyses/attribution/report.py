"""What was found, as tables, as JSON, and as one Markdown text with its picture; no text of the corpus is in any of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emomtl.analyses.attribution.focus import FOCUS, OF_WORDS, POINTING, SHARE
from emomtl.analyses.attribution.gradients import TOLERANCE
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import LEVEL, RESAMPLES
from emomtl.report.formats.markdown import escape, markdown

if TYPE_CHECKING:
    from emomtl.analyses.attribution.result import Analysis, Explained
    from emomtl.metrics.bootstrap import BootstrapEstimate

COLUMNS = ("figure", "run", "value", "low", "high", "chance", "difference", "its low", "its high")
SPELT = {
    SHARE: "share of attribution on emotion words",
    FOCUS: "focus: that share over the share of words",
    POINTING: "pointing game: the first word is an emotion word",
}
"""The figures of the table, in words."""


def remarks(found: Analysis) -> list[str]:
    """What was taken, and what the numbers do not say."""
    chosen, question = found.chosen, found.question
    lines = [
        f"{len(chosen.labels):,} of the {chosen.able:,} {question.split} texts with an emotion word and another word; "
        f"{chosen.rows:,} have a label other than neutral.",
        f"Emotion words: {len(found.words.words):,}, {found.words.source}.",
        f"Integrated gradients of the log-odds of each label that a text has, from a text of {found.blank} tokens.",
        f"Chance: attribution that takes no notice of what a word is. Intervals hold {LEVEL:.0%} of {RESAMPLES:,} samples of the "
        "texts, the same for every run; they say nothing of other seeds.",
    ]
    if question.split == "test":
        lines.append("This was a look at test, and scores.json does not count it: choose nothing by it.")
    for one in found.runs:
        if left := int(one.found.incomplete.sum()):
            said = f"warning: {one.name}: {left:,} attributions miss their sum by more than {TOLERANCE:.0%} of it"
            lines.append(f"{said} (and more than {TOLERANCE} log-odds), with all steps")
    return [*lines, *found.notes]


def tables(found: Analysis) -> list[Table]:
    """Figures by run with their differences from the first, and how complete the attributions are."""
    rows: list[tuple[Cell, ...]] = []
    for name, said in SPELT.items():
        for one in found.runs:
            figure, difference = one.figures[name], one.differences.get(name)
            tail: tuple[Cell, ...] = ("", "", "")
            if difference is not None:
                tail = (difference.value, *(difference.interval or (None, None)))
            rows.append((said, one.name, figure.value, *(figure.interval or (None, None)), figure.chance, *tail))
    title = f"Attribution on emotion words: {found.task}, {found.question.split}"
    complete: list[tuple[Cell, ...]] = [(one.name, one.about, *_completeness(one).values()) for one in found.runs]
    columns = ("run", "what it is", "labels", "mean difference", "mean missed", "most missed", "steps, median", "incomplete")
    note = "difference: log-odds of the text less those of the blank one. missed: by how much attributions miss it, in log-odds."
    return [Table(title, COLUMNS, tuple(rows), tuple(remarks(found))), Table("Completeness", columns, tuple(complete), (note,))]


def _completeness(one: Explained) -> dict[str, int | float]:
    import numpy as np

    made = one.found
    return {
        "labels": len(made.text),
        "mean_difference": float(np.abs(made.differences).mean()),
        "mean_missed": float(np.abs(made.missed).mean()),
        "most_missed": float(np.abs(made.missed).max()),
        "median_steps": int(np.median(made.steps)),
        "incomplete": int(made.incomplete.sum()),
    }


def as_json(found: Analysis) -> dict[str, Any]:
    """Every number in full."""
    return {
        "task": found.task,
        "split": found.question.split,
        "checkpoint": found.question.checkpoint,
        "rows": found.chosen.rows,
        "able": found.chosen.able,
        "texts": len(found.chosen.labels),
        "blank": found.blank,
        "words": {"source": found.words.source, "number": len(found.words.words)},
        "resamples": RESAMPLES,
        "seed": found.question.seed,
        "notes": remarks(found),
        "runs": [_run(one) for one in found.runs],
    }


def _run(one: Explained) -> dict[str, Any]:
    figures = {name: _figure(figure) for name, figure in one.figures.items()}
    for name, difference in one.differences.items():
        if name != OF_WORDS:
            figures[name]["difference"] = _figure(difference)
    return {"run": one.name, "about": one.about, "figures": figures, "completeness": _completeness(one)}


def _figure(figure: BootstrapEstimate) -> dict[str, Any]:
    low, high = figure.interval or (None, None)
    found = {"value": figure.value, "low": low, "high": high}
    return found if figure.chance is None else {**found, "chance": figure.chance}


def as_markdown(found: Analysis, pictures: Mapping[str, str]) -> str:
    """The tables, then the picture (caption to relative path)."""
    return f"# Attribution of {escape(found.task)}\n\n{markdown(tables(found), pictures)}"

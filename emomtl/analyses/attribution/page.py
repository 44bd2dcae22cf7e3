"""Examples as one HTML page: words coloured by what they add, everything escaped, no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.attribution.report import AttributedRun, Attribution, tables
from emomtl.analyses.attribution.texts import Unit, check_examples, known
from emomtl.errors import clean
from emomtl.report.cells import spelt
from emomtl.report.html_page import rendered
from emomtl.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).parent

STRENGTHS = 4
"""Depths of colour; the deepest is the largest attribution of the text, either way."""


def page(made: Attribution, examples: int) -> str:
    """The first of the texts that were taken, with each label and run.

    EmomtlError for a sensitive task.
    """
    check_examples(made.task, made.chosen)
    count = min(examples, len(made.chosen.labels))
    context = {
        "task": clean(made.task),
        "split": made.options.split,
        "version": __version__,
        "tables": tables(made),
        "examples": [_example(made, text) for text in range(count)],
        "blank": made.options.blank,
    }
    styles, filters = [FOLDER / "page.css"], {"cell": spelt}
    return rendered(FOLDER / "page.html.jinja", context, styles=styles, filters=filters)


def _example(made: Attribution, text: int) -> list[dict[str, Any]]:
    """A line for each label of the text and each run."""
    lines = []
    for label in made.chosen.labels[text]:
        for run in made.runs:
            attributed = run.attributed
            for place in np.flatnonzero((attributed.text == text) & (attributed.label == label)):
                line = {
                    "label": clean(made.taxonomy.names[label]),
                    "run": clean(run.name),
                    "difference": float(attributed.differences[place]),
                    "words": _words(made, run, text, attributed.words[place]),
                }
                lines.append(line)
    return lines


def _words(
    made: Attribution, run: AttributedRun, text: int, values: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Each word with its style and its number; `cut` where the model did not read it."""
    units: Sequence[Unit] = run.attributed.units[text]
    emotion, seen = known(list(units), made.words), run.attributed.seen[text]
    most = float(np.abs(values).max()) or 1.0
    words = []
    for unit, value, is_emotion, was_seen in zip(units, values, emotion, seen, strict=True):
        depth = round(STRENGTHS * abs(float(value)) / most)
        style = f"{'for' if value > 0 else 'against'}-{depth}" if depth else "none"
        words.append(
            {
                "text": clean(unit.word, 200),
                "style": style if was_seen else "cut",
                "emotion": bool(is_emotion),
                "value": f"{value:+.2f}" if was_seen else "cut off",
            }
        )
    return words

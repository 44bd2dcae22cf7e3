"""Examples as one HTML page: words coloured by what they add, everything escaped, no script, nothing from the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.analyses.attribution.texts import Unit, check_examples, known
from emomtl.errors import clean
from emomtl.report.cells import spelt
from emomtl.report.html_page import rendered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.analyses.attribution.result import Analysis, Explained

FOLDER = Path(__file__).parent

STRENGTHS = 4
"""Depths of colour; the deepest is the largest attribution of the text, either way."""


def page(found: Analysis, examples: int) -> str:
    """The page: the first texts of those that were taken, with each label and run. EmomtlError for a sensitive task."""
    from emomtl.analyses.attribution.report import tables
    from emomtl.version import __version__

    check_examples(found.task, found.chosen)
    texts = [_example(found, text) for text in range(min(examples, len(found.chosen.labels)))]
    context = {
        "task": clean(found.task),
        "split": found.question.split,
        "version": __version__,
        "tables": tables(found),
        "examples": texts,
        "blank": found.blank,
    }
    return rendered(FOLDER / "page.html.jinja", context, styles=[FOLDER / "page.css"], filters={"cell": spelt})


def _example(found: Analysis, text: int) -> list[dict[str, Any]]:
    """A line for each label of the text and each run."""
    return [line for label in found.chosen.labels[text] for one in found.runs for line in _lines(found, one, text, label)]


def _lines(found: Analysis, one: Explained, text: int, label: int) -> Iterator[dict[str, Any]]:
    made = one.found
    units = made.units[text]
    emotion = known(units, found.words)
    for place in range(len(made.text)):
        if made.text[place] == text and made.label[place] == label:
            yield {
                "label": clean(found.taxonomy.names[label]),
                "run": clean(one.name),
                "difference": float(made.differences[place]),
                "words": _words(units, made.words[place], emotion, made.seen[text]),
            }


def _words(
    units: Sequence[Unit], values: NDArray[np.float64], emotion: NDArray[np.bool_], seen: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Each word with its style and its number; `+` and `-` and a depth, or `cut` where the model did not read it."""
    import numpy as np

    most = float(np.abs(values).max()) or 1.0
    found = []
    for unit, value, is_emotion, was_seen in zip(units, values, emotion, seen, strict=True):
        depth = round(STRENGTHS * abs(float(value)) / most)
        style = f"{'for' if value > 0 else 'against'}-{depth}" if depth else "none"
        word = {"text": clean(unit.word, 200), "style": style if was_seen else "cut", "emotion": bool(is_emotion)}
        found.append({**word, "value": f"{value:+.2f}" if was_seen else "cut off"})
    return found

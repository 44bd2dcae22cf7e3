"""A picture of a lexicon: the words that stand for each label, as small bars side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, Problem
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, drawing
from emomtl.safety.files import storage

if TYPE_CHECKING:
    from emomtl.lexicon import Lexicon

ENDINGS = (".png", ".svg")
COLUMNS = 4


def draw_lexicon(lexicon: Lexicon, labels: Sequence[str], words: int, path: Path) -> None:
    """One panel a label: its `words` best words, and as bars Lex(w, e). PNG or SVG, by the ending
    of `path`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in ENDINGS:
        raise EmomtlError(
            Problem(
                "--figure", f"'{path.name}' has no known ending", f"one of {', '.join(ENDINGS)}"
            )
        )
    columns = min(COLUMNS, len(labels))
    lines = -(-len(labels) // columns)
    with drawing():
        figure = Figure(figsize=(3.2 * columns, (0.6 + 0.2 * words) * lines), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, label in zip(panels, labels, strict=False):
            top = lexicon.top(label, words)
            panel.barh(range(len(top)), [weight for _, weight, _ in top], color=COLOURS[0])
            panel.set_yticks(range(len(top)), [plain(word) for word, _, _ in top], parse_math=False)
            panel.set(xlim=(0, 1), ylim=(words - 0.5, -0.5))
            panel.set_title(plain(label), parse_math=False)
            panel.grid(axis="y", visible=False)
        for panel in panels[len(labels) :]:
            panel.set_visible(False)
        with storage(path):
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)

"""A picture of a lexicon: the best words of each label, as small bars side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, Problem
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, canvas, drawing
from emomtl.safety.files import storage

if TYPE_CHECKING:
    from emomtl.lexicon import Lexicon

ENDINGS = (".png", ".svg")
COLUMNS = 4


def draw_lexicon(lexicon: Lexicon, labels: Sequence[str], words: int, path: Path) -> None:
    """One panel a label: its `words` best words, and as bars Lex(w, e); `path` is PNG or SVG."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        finding = f"'{path.name}' has no known ending"
        raise EmomtlError(Problem("--figure", finding, f"one of {', '.join(ENDINGS)}"))
    columns = min(COLUMNS, len(labels))
    rows = math.ceil(len(labels) / columns)
    with drawing():
        figure, panels = canvas(3.2 * columns, (0.6 + 0.2 * words) * rows, rows, columns)
        for panel, label in zip(panels, labels, strict=False):
            best = lexicon.top(label, words)
            places = range(len(best))
            panel.barh(places, [weight for _, weight, _ in best], color=COLOURS[0])
            panel.set_yticks(places, [plain(word) for word, _, _ in best], parse_math=False)
            panel.set(xlim=(0, 1), ylim=(words - 0.5, -0.5))
            panel.set_title(plain(label), parse_math=False)
            panel.grid(axis="y", visible=False)
        for panel in panels[len(labels) :]:
            panel.set_visible(False)
        with storage(path):
            figure.savefig(path, metadata={"Date": None} if ending == ".svg" else None)

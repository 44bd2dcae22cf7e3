"""How every picture looks, and how it is saved: colours that all eyes tell apart, and no names read as formulas."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.run.files import storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without yellow, which is too faint on white: told apart with any colour vision."""

STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "svg.hashsalt": "emomtl",
}
"""Settings of matplotlib for all pictures."""


@contextmanager
def drawing(**changes: Any) -> Iterator[None]:
    """Inside, pictures are drawn in `STYLE`, with `changes` of it; signs that no font has are drawn as boxes without a word."""
    from matplotlib import style

    look: dict[str, Any] = {**STYLE, **changes}
    with style.context(["default", look]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def save_picture(figure: Figure, path: Path) -> Path:
    """Save a figure as `path`, a PNG, and beside it as SVG, the same bytes every time; folders that are missing are made."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path

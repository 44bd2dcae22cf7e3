"""How every picture looks, its canvas, and how it is saved."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Picture
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.report.cells import plain
from emomtl.safety.files import storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette for any colour vision, without yellow, which is too faint on white."""

HOVER = "hover:"
"""The beginning of the name (`gid`) of an artist that a page shows as a tooltip."""

LAST_SECOND = 253_402_300_800
"""The first second of the year 10000, in seconds since 1970, which a date cannot express."""

LONGEST = 48
"""Characters of a name in a picture."""

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
    """Inside, pictures are drawn in `STYLE` with `changes`; characters no font has become boxes."""
    from matplotlib import style

    _check_date()
    look: dict[str, Any] = {**STYLE, **changes}
    with style.context(["default", look]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _check_date() -> None:
    """Refuse a SOURCE_DATE_EPOCH that matplotlib would fail on when it dates a file."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return
    is_number = epoch.isascii() and epoch.isdigit() and len(epoch) < 15
    if not is_number or int(epoch) >= LAST_SECOND:
        finding = f"'{clean(epoch, 40)}' is no number of seconds since 1970"
        remedy = "unset it, or give one such as 1700000000"
        raise EmomtlError(Problem("SOURCE_DATE_EPOCH", finding, remedy))


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with its panels, row by row, without pyplot's global state.

    `options` are those of `matplotlib.figure.Figure.subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def title_figure(figure: Figure, title: str) -> None:
    """Put a title above the panels, on the left; never read as a formula."""
    figure.suptitle(title, parse_math=False, fontsize=13, x=0.01, ha="left")


def named(text: str) -> str:
    """A name for a picture: one line, no control characters, not too long."""
    shown = plain(text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def hover(text: str) -> str:
    """The name (`gid`) of an artist that a page shows as a tooltip: one line of plain text."""
    return HOVER + plain(text)


def file_name(number: int, *parts: str) -> str:
    """`01-run-task-kind`: a safe name of a file; `number` keeps names apart."""
    slugs = [f"{number:02d}"]
    for part in parts:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", part)[:60].strip("-.")
        slugs.append(slug or "run")
    return "-".join(slugs)


def save_picture(figure: Figure, path: Path) -> Path:
    """Save a figure as `path`, a PNG, and beside it as SVG and PDF, always with the same bytes."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    return path


def save_pictures(pictures: Sequence[Picture], folder: Path) -> dict[str, Path]:
    """Save pictures into a folder, each as PNG, SVG and PDF; gives the PNG's path by caption.

    Names that are equal get a number.
    """
    counts: Counter[str] = Counter()
    paths: dict[str, Path] = {}
    with drawing():
        for picture in pictures:
            counts[picture.name] += 1
            count = counts[picture.name]
            name = f"{picture.name}-{count}.png" if count > 1 else f"{picture.name}.png"
            paths[picture.caption] = save_picture(picture.figure, folder / name)
    return paths


def as_svg(figure: Figure) -> str:
    """The figure as the text of an SVG, the same every time."""
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()

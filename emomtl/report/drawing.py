"""How every picture looks, and how it is saved: colours that all eyes tell apart, and no names read
as formulas.
"""

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
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without yellow, which is too faint on white: told apart with any colour
vision.
"""

HOVER = "hover:"
"""How the name (`gid`) of an artist begins that tells it to a mouse, on a page."""

LAST_SECOND = 253_402_300_800
"""The first second of the year 10000, in seconds since 1970: what a date can no longer say."""

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
    """Inside, pictures are drawn in `STYLE`, with `changes` of it; signs that no font has are drawn
    as boxes without a word.
    """
    from matplotlib import style

    _check_date()
    look: dict[str, Any] = {**STYLE, **changes}
    with style.context(["default", look]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _check_date() -> None:
    """Refuse a SOURCE_DATE_EPOCH that matplotlib would fail on when it dates a file."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given and not (
        given.isascii() and given.isdigit() and int(given[:15]) < LAST_SECOND and len(given) < 15
    ):
        found = f"'{clean(given, 40)}' is no number of seconds since 1970"
        raise EmomtlError(
            Problem("SOURCE_DATE_EPOCH", found, "unset it, or give one such as 1700000000")
        )


def named(text: str) -> str:
    """A name for a picture: one line, no control characters, not too long."""
    shown = plain(text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def hover(told: str) -> str:
    """The name (`gid`) of an artist that tells something to a mouse: one line, no control
    characters.
    """
    return HOVER + plain(told)


def file_name(number: int, *parts: str) -> str:
    """`01-run-task-kind`: safe as a file's name whatever runs and tasks are called; `number` keeps
    them apart.
    """
    slugs = [re.sub(r"[^A-Za-z0-9._-]+", "-", part)[:60].strip("-.") for part in parts]
    return "-".join([f"{number:02d}", *(slug or "run" for slug in slugs)])


def save_picture(figure: Figure, path: Path) -> Path:
    """Save a figure as `path`, a PNG, and beside it as SVG and PDF, the same bytes every time;
    missing folders are made.
    """
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    return path


def save_pictures(pictures: Sequence[Picture], folder: Path) -> dict[str, Path]:
    """Save pictures into a folder, each as PNG, SVG and PDF; gives the PNG's path by caption.

    Names that are the same once they are safe get a number.
    """
    taken: Counter[str] = Counter()
    made: dict[str, Path] = {}
    with drawing():
        for one in pictures:
            taken[one.name] += 1
            again = f"-{taken[one.name]}" if taken[one.name] > 1 else ""
            made[one.caption] = save_picture(one.figure, folder / f"{one.name}{again}.png")
    return made


def as_svg(figure: Figure) -> str:
    """The figure as the text of an SVG, the same every time."""
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()

"""A matrix over labels as a picture: cells that tell themselves to a mouse, names as text, groups parted by lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.report.drawing import hover, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FEW = 12
"""Labels up to which every cell has its number, in a larger type."""
NOTED = 0.05
"""The part of the largest value from which on a cell of a large matrix has its number."""


def heat(
    figure: Figure,
    axes: Axes,
    values: NDArray[Any],
    names: tuple[Sequence[str], Sequence[str]],
    told: Callable[[int, int], str],
    *,
    largest: float,
    spelt: Callable[[float], str],
    diverging: bool = False,
    groups: Sequence[str] = (),
    key: str = "",
    apart: int | None = None,
) -> None:
    """Draw `values` (rows, columns), from 0 (or from -largest) to `largest`; NaN stays white, 0 too.

    `names` are those of rows and columns, `told` says a cell to a mouse, `spelt` writes its number, `groups` are those of the
    rows and parted by lines, `key` names the colours, whose scale is in hundredths. The column `apart` is in grey: what stands
    there is of another kind.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, PowerNorm
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import PercentFormatter

    scale = Normalize(-largest, largest) if diverging else PowerNorm(0.6, 0, largest)
    colours = colormaps["PuOr" if diverging else "Blues"]
    size = 9.0 if max(values.shape) <= FEW else 6.5
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value) or value == 0:
            continue
        # Greys up to the middle of the scale only: the darkest colour is for what the picture is about.
        shade = colormaps["Greys"](0.5 * float(scale(value))) if column == apart else colours(float(scale(value)))
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=shade, edgecolor="none", gid=hover(told(row, column)))
        )
        if max(values.shape) <= FEW or abs(value) >= NOTED * largest:
            light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "color": "black" if light else "white"}
            axes.text(column, row, spelt(float(value)), **look, parse_math=False, gid=hover(told(row, column)))
    axes.set_xlim(-0.5, len(names[1]) - 0.5)
    axes.set_ylim(len(names[0]) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    small = 9 if max(values.shape) <= FEW else 8
    axes.set_xticks(range(len(names[1])), [named(one) for one in names[1]], rotation=90, fontsize=small, parse_math=False)
    axes.set_yticks(range(len(names[0])), [named(one) for one in names[0]], fontsize=small, parse_math=False)
    for place in range(1, len(groups)):
        if groups[place] != groups[place - 1]:
            axes.axhline(place - 0.5, color="#777777", linewidth=0.7)
            axes.axvline(place - 0.5, color="#777777", linewidth=0.7)
    if apart is not None:
        axes.axvline(apart - 0.5, color="#777777", linewidth=0.7)
    key_to(figure, axes, ScalarMappable(scale, colours), key, format=PercentFormatter(1, symbol=""))


def key_to(figure: Figure, axes: Axes, colours: ScalarMappable, said: str, **options: Any) -> None:
    """A bar that says what colours mean, in lines and not as an image, which a page would not load."""
    bar = figure.colorbar(colours, ax=axes, shrink=0.7, pad=0.02, **options)
    assert bar.solids is not None
    bar.solids.set_rasterized(False)
    bar.solids.set_edgecolor("face")
    bar.set_label(said, fontsize=9, parse_math=False)


def side(labels: int) -> float:
    """Inches that a matrix with so many labels takes with its names."""
    return 3.2 + 0.33 * max(labels, 4)

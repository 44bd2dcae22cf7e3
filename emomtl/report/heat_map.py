"""Matrices as heat maps: cells that show a mouse what they are, names as text, groups parted by
lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.report.drawing import hover, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FEW = 12
"""Rows or columns up to which every cell has its number, in a larger type."""

NOTED = 0.05
"""The part of the largest value from which on a cell of a larger matrix has its number."""

RULE: dict[str, Any] = {"color": "#777777", "linewidth": 0.7}
"""The lines between groups."""


@dataclass(frozen=True)
class HeatMap:
    """A matrix `values` (rows, columns) with the names of both, coloured from 0 to `largest`.

    With `diverging` the colours go from -largest to largest. NaN and 0 stay white. `cell_text`
    writes the number of a cell, `hover_text` says what it is to a mouse. `groups` are those of the
    rows (and columns); `key` names the colours, in hundredths. The column `separate_column` is
    grey: what stands there is of another kind.
    """

    values: NDArray[Any]
    names: tuple[Sequence[str], Sequence[str]]
    largest: float
    cell_text: Callable[[int, int], str]
    hover_text: Callable[[int, int], str]
    key: str = ""
    diverging: bool = False
    groups: Sequence[str] = ()
    separate_column: int | None = None

    @property
    def is_small(self) -> bool:
        """Whether every cell has room for its number."""
        return bool(max(self.values.shape) <= FEW)

    @property
    def scale(self) -> Normalize:
        """From values to 0..1, the place on the colour map."""
        from matplotlib.colors import Normalize, PowerNorm

        if self.diverging:
            return Normalize(-self.largest, self.largest)
        return PowerNorm(0.6, 0, self.largest)

    @property
    def colours(self) -> str:
        """The colour map."""
        return "PuOr" if self.diverging else "Blues"

    def colour(self, value: float, column: int) -> Any:
        """The colour of a cell."""
        from matplotlib import colormaps

        place = float(self.scale(value))
        if column == self.separate_column:
            # up to the middle of the scale: the darkest colours are for what the picture is about
            return colormaps["Greys"](0.5 * place)
        return colormaps[self.colours](place)


def draw_heat_map(figure: Figure, axes: Axes, heat_map: HeatMap) -> None:
    """Draw a heat map with its colour bar.

    Cells are shapes and not an image, which the policy of an HTML page would not load.
    """
    import numpy as np
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import PercentFormatter

    for (row, column), value in np.ndenumerate(heat_map.values):
        if np.isnan(value) or value == 0:
            continue
        colour = heat_map.colour(value, column)
        gid = hover(heat_map.hover_text(row, column))
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="none", gid=gid))
        if heat_map.is_small or abs(value) >= NOTED * heat_map.largest:
            # relative luminance of the cell (ITU-R BT.601)
            luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
            look: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
            look["fontsize"] = 9.0 if heat_map.is_small else 6.5
            look["color"] = "black" if luminance > 0.5 else "white"
            axes.text(column, row, heat_map.cell_text(row, column), gid=gid, **look)
    _draw_names(axes, heat_map)
    for place in range(1, len(heat_map.groups)):
        if heat_map.groups[place] != heat_map.groups[place - 1]:
            axes.axhline(place - 0.5, **RULE)
            axes.axvline(place - 0.5, **RULE)
    if heat_map.separate_column is not None:
        axes.axvline(heat_map.separate_column - 0.5, **RULE)
    colours = ScalarMappable(heat_map.scale, heat_map.colours)
    colour_bar(figure, axes, colours, heat_map.key, format=PercentFormatter(1, symbol=""))


def _draw_names(axes: Axes, heat_map: HeatMap) -> None:
    rows, columns = heat_map.names
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    look: dict[str, Any] = {"fontsize": 9 if heat_map.is_small else 8, "parse_math": False}
    axes.set_xticks(range(len(columns)), list(map(named, columns)), rotation=90, **look)
    axes.set_yticks(range(len(rows)), list(map(named, rows)), **look)


def colour_bar(
    figure: Figure, axes: Axes, colours: ScalarMappable, key: str, **options: Any
) -> None:
    """A bar that says what colours mean, in lines and not as an image."""
    bar = figure.colorbar(colours, ax=axes, shrink=0.7, pad=0.02, **options)
    assert bar.solids is not None
    bar.solids.set_rasterized(False)
    bar.solids.set_edgecolor("face")
    bar.set_label(key, fontsize=9, parse_math=False)


def side_length(labels: int) -> float:
    """Inches that a matrix with so many labels takes with its names."""
    return 3.2 + 0.33 * max(labels, 4)

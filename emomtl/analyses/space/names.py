"""Names beside points of a picture, placed so that none lies on another or on a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

ANGLES, RINGS, STEP = 24, 60, 5.0
"""Where a place for a name is looked for: in so many directions from its point, on so many rings,
so many pixels apart.
"""

GAP, POINT = 2.0, 8.0
"""Pixels around a name, and around a point."""


def place_names(
    axes: Axes, points: NDArray[np.float64], names: Sequence[str], size: float = 8
) -> None:
    """Write each name near its point (K, 2), with a thin line to it; the axes must have their
    limits and their place already.

    In axes of three dimensions the points are those of the projection.
    """
    if not names:
        return

    look: dict[str, Any] = {"fontsize": size, "ha": "center", "va": "center", "zorder": 6}
    # not an outline, which would be 8 kB a name in an SVG
    look["bbox"] = {
        "boxstyle": "square,pad=0.08",
        "facecolor": "white",
        "alpha": 0.7,
        "linewidth": 0,
    }
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[union-attr, attr-defined]  # Agg has one
    half = np.zeros((len(names), 2))
    for place, name in enumerate(names):
        text = axes.annotate(name, (0, 0), xycoords="figure pixels", parse_math=False, **look)
        extent = text.get_window_extent(renderer)
        text.remove()
        half[place] = extent.width / 2 + GAP, extent.height / 2 + GAP
    anchors = axes.transData.transform(points)
    frame = axes.get_window_extent(renderer)
    centres = _apart(anchors, half, np.array([[frame.x0, frame.y0], [frame.x1, frame.y1]]))
    for name, anchor, centre, box in zip(names, points, centres, half, strict=True):
        far = (np.abs(centre - axes.transData.transform(anchor)) > box + POINT).any()
        line = (
            {"arrowstyle": "-", "color": "#444444", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
            if far
            else None
        )
        where = axes.transData.inverted().transform(centre)
        axes.annotate(
            name,
            tuple(anchor),
            tuple(where),
            arrowprops=line,
            parse_math=False,
            annotation_clip=False,
            **look,
        )


def _apart(
    anchors: NDArray[np.float64], half: NDArray[np.float64], inside: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Centres (K, 2) of boxes with these half widths and heights: each the free place nearest to
    its anchor.

    The anchor farthest from the middle comes first, so that names go outwards. Where nothing is
    free a name stands on its anchor.
    """
    number = len(anchors)
    centres, halves = anchors.copy(), np.full((number, 2), POINT)
    for one in np.argsort(-np.linalg.norm(anchors - anchors.mean(axis=0), axis=1), kind="stable"):
        offsets = _around(half[one])
        places = np.clip(
            anchors[one] + offsets,
            inside[0] + half[one],
            np.maximum(inside[1] - half[one], inside[0] + half[one]),
        )
        taken = np.concatenate([centres[number:], anchors])
        reach = half[one] + np.concatenate([halves[number:], halves[:number]])
        free = ~(np.abs(places[:, None] - taken[None]) < reach[None]).all(axis=2).any(axis=1)
        place = places[free.argmax()] if free.any() else anchors[one]
        centres[one] = place
        centres, halves = (
            np.concatenate([centres, [place]]),
            np.concatenate([halves, half[one : one + 1]]),
        )
    return centres[:number]


def _around(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places around a point for a box, the nearest first, straight above before all others of one
    distance.
    """
    angles = np.pi / 2 + np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    rings = np.arange(RINGS)[:, None, None] * STEP + half + POINT + 1
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(rings * circle[None]).reshape(-1, 2)

"""Pictures of spaces: PCA and t-SNE of the texts, distances of the labels beside those of VAD, and
the labels in VAD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.space.centroids import centroids, unit
from emomtl.analyses.space.coordinates import DIMENSIONS, Coordinates
from emomtl.analyses.space.measures import Levels, Measured, Spaces, parents
from emomtl.analyses.space.names import place_names
from emomtl.analyses.space.projections import Flat, pca, tsne
from emomtl.analyses.space.vectors import Texts
from emomtl.contracts.analysis import Picture
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MARKERS = "os^Dv"
"""Centroids of a second and later round of colours have another shape."""

LOOK = {"axes.grid": False, "font.size": 10}
"""What differs from other pictures."""


def pictures(
    spaces: Spaces, say: Callable[[str], None] = lambda line: None, most: int | None = None
) -> list[Picture]:
    """Every picture of these spaces.

    The texts are pixels in the SVG, too; with `most` they are shapes, and so many at most in all
    pictures. No picture has a text in it: only points, and names of labels.
    """
    texts, measured, coordinates = spaces.texts, spaces.measured, spaces.coordinates
    made: list[Picture] = []
    with drawing(**LOOK):
        levels = _levels(texts)
        drawn = most // (2 * len(levels) * len(measured)) if most is not None else None
        for method, flats in _projected(measured, spaces.seed, say).items():
            for level in levels:
                caption = f"{method} of the texts, by {plain(level)}"
                figure = _panels(texts, measured, flats, level, caption, drawn)
                name = f"{method.lower().replace('-', '')}-{_slug(level)}"
                made.append(Picture(caption, name, figure))
        if len(Levels.of(texts).kept) > 1:
            figure = _distances(texts, measured, coordinates)
            made.append(Picture("Distances of the labels", "distances", figure))
        if coordinates.points:
            caption = "The labels in valence, arousal and dominance"
            made.append(Picture(caption, "vad", _vad(texts, coordinates)))
    return made


def _projected(
    measured: Sequence[Measured], seed: int, say: Callable[[str], None]
) -> dict[str, list[Flat]]:
    """The texts of every space on two axes, by method."""
    found: dict[str, list[Flat]] = {"PCA": [], "t-SNE": []}
    for one in measured:
        say(f"{one.space.name}: PCA and t-SNE")
        directions = unit(one.space.vectors)
        found["PCA"].append(pca(directions, found["PCA"][0].points if found["PCA"] else None))
        found["t-SNE"].append(tsne(directions, seed))
    return found


def _levels(texts: Texts) -> list[str]:
    """What texts are coloured by: the groupings, else the labels."""
    return [grouping.name for grouping in texts.taxonomy.groupings] or ["label"]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in name)[:40] or "level"


def _groups(texts: Texts, level: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the groups, and each label's group (L,)."""
    if level == "label":
        return texts.taxonomy.names, np.arange(len(texts.taxonomy))
    return texts.taxonomy.grouping(level).names, parents(texts, level)


def _figure(width: float, height: float) -> Figure:
    """A white figure on a canvas that can measure text, made without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _grid(figure: Figure, number: int, columns: int, **edges: float) -> list[Axes]:
    rows = -(-number // columns)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in axes[number:]:
        empty.remove()
    figure.subplots_adjust(**edges)
    return list(axes[:number])


def _panels(
    texts: Texts,
    measured: Sequence[Measured],
    flats: Sequence[Flat],
    level: str,
    caption: str,
    drawn: int | None,
) -> Figure:
    """A panel for each space: texts as small points coloured by group, label centroids as large
    ones with their names.
    """
    columns = len(flats) if len(flats) <= 3 else 2
    rows = -(-len(flats) // columns)
    figure = _figure(7.2 * columns, 6.6 * rows + 1.0)
    edges = {
        "left": 0.04,
        "right": 0.98,
        "bottom": 0.07 / rows,
        "top": 1 - 0.95 / (6.6 * rows + 1.0),
    }
    axes = _grid(figure, len(flats), columns, **edges, wspace=0.1, hspace=0.16)
    names, group = _groups(texts, level)
    limits = _limits(flats) if flats[0].explained else None
    for one, flat, panel in zip(measured, flats, axes, strict=True):
        _texts(panel, flat, group[texts.gold], drawn)
        panel.set_title(
            f"{plain(one.space.name)}\n{plain(one.space.about)}"[:120],
            parse_math=False,
            fontsize=10,
        )
        _axes(panel, flat, limits or _limits([flat]))
        _centroids(panel, texts, flat, group)
    figure.suptitle(
        f"{caption}: {plain(texts.task)}, {texts.split}",
        parse_math=False,
        fontsize=13,
        x=0.01,
        ha="left",
        y=0.995,
    )
    _legend(figure, names, _different(group[texts.gold]))
    return figure


def _different(values: NDArray[np.int64]) -> list[int]:
    """The different values, in order."""
    return sorted(set(values.tolist()))


def _texts(axes: Axes, flat: Flat, groups: NDArray[np.int64], drawn: int | None) -> None:
    """The texts, in one shuffled order so that no group hides another; as pixels, or the first
    `drawn` of them as shapes.
    """
    order = np.random.default_rng(0).permutation(len(groups))[:drawn]
    pixels = drawn is None
    colours = np.array(COLOURS)[groups % len(COLOURS)]
    axes.scatter(
        flat.points[order, 0],
        flat.points[order, 1],
        c=colours[order],
        s=7,
        alpha=0.4,
        linewidths=0,
        rasterized=pixels,
        zorder=2,
    )


def _axes(axes: Axes, flat: Flat, limits: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """Limits; and the axes' names with the share of the variance, or none for t-SNE, whose axes
    mean nothing.
    """
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    if flat.explained:
        axes.set_xlabel(f"component 1 ({flat.explained[0]:.0%} of the variance)", labelpad=1)
        axes.set_ylabel(
            f"component 2 ({flat.explained[1] if len(flat.explained) > 1 else 0:.0%})", labelpad=1
        )
        axes.tick_params(labelsize=8)
    else:
        axes.set_xticks([])
        axes.set_yticks([])


def _limits(flats: Sequence[Flat]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits that hold the points of all panels: for PCA common ones, as vectors of length one have
    one scale.
    """
    points = np.concatenate([flat.points for flat in flats])
    margin = 0.05 * np.maximum(np.ptp(points, axis=0), 1e-9)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _centroids(axes: Axes, texts: Texts, flat: Flat, group: NDArray[np.int64]) -> None:
    """The mean place of each label's texts in the picture, named; labels with too few texts for a
    centroid are left out.
    """
    kept = Levels.of(texts).kept
    means = centroids(flat.points, texts.gold, len(texts.taxonomy))[kept]
    for place, (x, y) in zip(kept, means, strict=True):
        colour, marker = _mark(int(group[place]))
        axes.plot(
            [x],
            [y],
            marker=marker,
            markersize=8,
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.9,
            zorder=4,
        )
    place_names(axes, means, [plain(texts.taxonomy.names[place]) for place in kept])


def _mark(group: int) -> tuple[str, str]:
    """Colour and marker of a group."""
    return COLOURS[group % len(COLOURS)], MARKERS[group // len(COLOURS) % len(MARKERS)]


def _legend(figure: Figure, names: Sequence[str], present: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    if len(present) > len(COLOURS) * 2:
        return
    handles = []
    for group in present:
        colour, marker = _mark(group)
        handles.append(
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                linestyle="none",
                markeredgecolor="black",
                markersize=8,
            )
        )
    shown = [plain(names[group]) for group in present]
    width, height = figure.get_size_inches()
    narrow = width < 10  # one panel: the legend has no room beside the title, and stands under it
    look: dict[str, Any] = (
        {"fontsize": 8, "columnspacing": 0.8, "handletextpad": 0.1} if narrow else {}
    )
    top = 1 - 0.24 / height if narrow else 1.0
    legend = figure.legend(
        handles, shown, loc="upper right", ncols=7, bbox_to_anchor=(0.99, top), **look
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _distances(texts: Texts, measured: Sequence[Measured], coordinates: Coordinates) -> Figure:
    """Each space's distances of label centroids as ranks (0 the nearest pair, 1 the farthest),
    beside the distances in VAD.
    """
    kept = Levels.of(texts).kept
    points = coordinates.matrix([texts.taxonomy.names[place] for place in kept])
    order = _order(texts, kept, points)
    names = [plain(texts.taxonomy.names[place]) for place in kept[order]]
    squares: dict[str, NDArray[np.float64]] = {}
    if np.isfinite(points).all(axis=1).sum() > 1:
        squares[f"VAD ({plain(coordinates.source)})"] = np.linalg.norm(
            points[:, None] - points[None, :], axis=-1
        )
    squares |= {plain(one.space.name): one.distances for one in measured}
    columns = len(squares) if len(squares) <= 3 else 3
    rows = -(-len(squares) // columns)
    figure = _figure(5.6 * columns + 1.6, 5.9 * rows + 0.7)
    edges = {"left": 0.09, "right": 0.93, "bottom": 0.17 / rows, "top": 1 - 0.13 / rows}
    axes = _grid(figure, len(squares), columns, **edges, wspace=0.06, hspace=0.42)
    middle = np.arange(len(names)) + 0.5
    for place, (panel, (title, square)) in enumerate(zip(axes, squares.items(), strict=True)):
        shapes: Any = panel.pcolormesh(
            _ranked(square[np.ix_(order, order)]), cmap="cividis", vmin=0, vmax=1
        )
        panel.set_aspect("equal")
        panel.invert_yaxis()
        panel.set_title(title, parse_math=False, fontsize=11)
        ticks: Mapping[str, Any] = {"fontsize": 7, "parse_math": False}
        panel.set_xticks(middle, names, rotation=90, **ticks)
        panel.set_yticks(middle, names if place % columns == 0 else [""] * len(names), **ticks)
        panel.tick_params(length=0)
    bar = figure.colorbar(shapes, cax=figure.add_axes((0.945, 0.25, 0.012, 0.5)))
    assert bar.solids is not None
    bar.solids.set_rasterized(False)
    bar.set_label("rank of the distance (0 nearest, 1 farthest pair)", fontsize=9)
    title = f"Distances of the labels: {plain(texts.task)}, {texts.split}"
    figure.suptitle(title, parse_math=False, fontsize=13, x=0.01, ha="left", y=0.995)
    return figure


def _order(texts: Texts, kept: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels by their groups, the coarsest first, then by valence: what lies together stands
    together.
    """
    groupings = sorted(texts.taxonomy.groupings, key=lambda grouping: len(grouping.names))
    keys = [
        np.nan_to_num(points[:, 0]),
        *(parents(texts, one.name)[kept] for one in reversed(groupings)),
    ]
    return np.lexsort(keys)


def _ranked(square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of the distances above the diagonal in 0..1; NaN on the diagonal and where a distance
    is not known.
    """
    from scipy.stats import rankdata

    rows, columns = np.triu_indices(len(square), 1)
    ranks = rankdata(square[rows, columns], nan_policy="omit")
    found = np.full_like(square, np.nan)
    most = max(float(np.nanmax(ranks)) - 1, 1.0) if np.isfinite(ranks).any() else 1.0
    found[rows, columns] = found[columns, rows] = (ranks - 1) / most
    return found


def _vad(texts: Texts, coordinates: Coordinates) -> Figure:
    """The labels in valence, arousal and dominance, on stems; and in valence and arousal alone."""
    from mpl_toolkits.mplot3d import proj3d

    names = [name for name in texts.taxonomy.names if name in coordinates.points]
    points = coordinates.matrix(names)
    level = min(_levels(texts), key=lambda one: len(_groups(texts, one)[0]))
    groups, group = _groups(texts, level)
    mine = np.array([group[texts.taxonomy.index(name)] for name in names])
    figure = _figure(17, 8)
    solid: Any = figure.add_axes((0.0, 0.03, 0.5, 0.9), projection="3d")
    flat = figure.add_axes((0.56, 0.09, 0.42, 0.8))
    floor = float(points[:, 2].min() - 0.1 * max(np.ptp(points[:, 2]), 1e-9))
    for (x, y, z), place in zip(points, mine, strict=True):
        colour, marker = _mark(int(place))
        solid.plot([x, x], [y, y], [floor, z], color=colour, linewidth=0.8, alpha=0.6)
        solid.scatter(
            [x],
            [y],
            [z],
            color=colour,
            marker=marker,
            s=36,
            edgecolors="black",
            linewidths=0.7,
            depthshade=False,
        )
        flat.plot(
            [x],
            [y],
            marker=marker,
            markersize=8,
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.9,
        )
    solid.set_zlim(bottom=floor)
    solid.view_init(elev=22, azim=-62)
    for axis, name in zip("xyz", DIMENSIONS, strict=True):
        getattr(solid, f"set_{axis}label")(name)
    flat.set_xlabel(DIMENSIONS[0])
    flat.set_ylabel(DIMENSIONS[1])
    flat.margins(0.08)
    flat.grid(True)
    shown = [plain(name) for name in names]
    place_names(flat, points[:, :2], shown, size=8.5)
    place_names(
        solid,
        np.stack(proj3d.proj_transform(*points.T, solid.get_proj())[:2], axis=1),
        shown,
        size=7.5,
    )
    title = (
        f"The labels of {plain(texts.task)} in valence, arousal and dominance"
        f" ({plain(coordinates.source)})"
    )
    figure.suptitle(title, parse_math=False, fontsize=13, x=0.01, ha="left", y=0.985)
    _legend(figure, groups, _different(mine))
    return figure

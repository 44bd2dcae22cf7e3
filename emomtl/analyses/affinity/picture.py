"""The picture of an affinity: who helps whom, the ranking for the target, and cosines by layer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emomtl.analyses.affinity.course import Affinity
from emomtl.analyses.affinity.probe import WHOLE
from emomtl.analyses.affinity.summary import ranking, stacked
from emomtl.report.drawing import COLOURS, drawing
from emomtl.report.heat_map import HeatMap, draw_heat_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def figure(found: Affinity, target: str) -> Figure:
    """Four panels: Z of rows on columns, cosines, the ranking, cosines by layer."""
    from matplotlib.figure import Figure

    arrays = stacked(found)
    groups = sorted((group for group in arrays["cosine"] if group != WHOLE), key=_depth)
    others = [task for task in found.tasks if task != target]
    tasks, there = (found.tasks, found.tasks), found.tasks.index(target)
    with drawing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        z = np.nanmean(arrays["lookahead"], axis=0)
        cosines = np.nanmean(arrays["cosine"][WHOLE], axis=0)
        rows = [found.tasks.index(task) for task in others]
        of_groups = [
            np.nanmean(arrays["cosine"][group][:, rows, there], axis=0) for group in groups
        ]
        by_group = np.stack(of_groups, axis=1)
        drawn = Figure(figsize=(13, 9.5), layout="constrained")
        (of_steps, of_gradients), (ranked, layers) = drawn.subplots(2, 2)
        np.fill_diagonal(z, np.nan)
        np.fill_diagonal(cosines, np.nan)
        largest = float(np.abs(np.nan_to_num(z)).max())
        draw_heat_map(drawn, of_steps, _heat_map(z, tasks, largest or 1.0, "+.1e", "Z, %"))
        title = f"what a step on the row does to the column: Z, at most {largest:.2g}"
        of_steps.set_title(title, parse_math=False)
        of_steps.set_ylabel("a step on", parse_math=False)
        draw_heat_map(drawn, of_gradients, _heat_map(cosines, tasks, 1.0, "+.2f", "cosine, %"))
        of_gradients.set_title("cosine of gradients", parse_math=False)
        _ranked(ranked, found, target)
        names = (others, groups)
        draw_heat_map(drawn, layers, _heat_map(by_group, names, 1.0, "+.2f", "cosine, %"))
        layers.set_title(f"cosine with {target}, by part of the encoder", parse_math=False)
        steps = f"{len(found.steps)} measurements up to step {found.steps[-1]}"
        title = f"Affinity for {target}: {steps}, look-ahead step {found.rate:g}"
        drawn.suptitle(title, parse_math=False, x=0.01, ha="left")
    return drawn


def _heat_map(
    values: NDArray[np.float64],
    names: tuple[Sequence[str], Sequence[str]],
    largest: float,
    form: str,
    key: str,
) -> HeatMap:
    """Values around 0, each written in its cell."""

    def cell_text(row: int, column: int) -> str:
        return f"{values[row, column]:{form}}"

    def hover_text(row: int, column: int) -> str:
        return f"{names[0][row]}, {names[1][column]}: {values[row, column]:{form}}"

    return HeatMap(values, names, largest, cell_text, hover_text, key, diverging=True)


def _ranked(axes: Axes, found: Affinity, target: str) -> None:
    """Mean Z on the target with its interval, the best on top."""
    order = ranking(found, target)[::-1]
    for place, auxiliary in enumerate(order):
        z = auxiliary.lookahead
        if z.mean is None:
            continue
        axes.plot(z.mean, place, "o", color=COLOURS[0])
        if z.low is not None and z.high is not None:
            axes.plot([z.low, z.high], [place, place], color=COLOURS[0])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(order)), [one.task for one in order], parse_math=False)
    axes.ticklabel_format(axis="x", scilimits=(-2, 2))
    axes.set_title(f"Z on {target}: mean and 95% interval over steps", parse_math=False)


def _depth(group: str) -> tuple[int, int]:
    """Embeddings first, layers by number, the rest last."""
    if group == "embeddings":
        return 0, 0
    number = re.search(r"\d+", group)
    return (1, int(number[0])) if number else (2, 0)

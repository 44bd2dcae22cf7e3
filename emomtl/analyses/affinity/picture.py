"""The picture of an affinity: who helps whom, the ranking for the target, and the cosines by layer."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.analyses.affinity.course import Affinity
from emomtl.analyses.affinity.probe import WHOLE
from emomtl.analyses.affinity.summary import ranking, stacked
from emomtl.errors import EmomtlError, Problem
from emomtl.report.drawing import COLOURS, drawing
from emomtl.safety.files import storage

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ENDINGS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Raise `EmomtlError` where a picture cannot get this name; to be asked before the work."""
    if path.suffix.lower() not in ENDINGS:
        raise EmomtlError(
            Problem("--figure", f"'{path.name}' is no name for a picture", f"a file ending in {', '.join(ENDINGS)}")
        )
    if not path.absolute().parent.is_dir():
        raise EmomtlError(Problem("--figure", f"the folder {path.parent} does not exist", "make it, or name another"))


def draw(found: Affinity, target: str, path: Path) -> None:
    """Draw four panels into a PNG, SVG or PDF file: Z of rows on columns, cosines, the ranking, cosines by layer."""
    import numpy as np
    from matplotlib.figure import Figure

    check_picture(path)
    arrays = stacked(found)
    with drawing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        figure = Figure(figsize=(13, 9.5), layout="constrained")
        (of_steps, of_gradients), (ranked, layers) = figure.subplots(2, 2)
        largest = _heat(figure, of_steps, np.nanmean(arrays["lookahead"], axis=0), found.tasks)
        of_steps.set_title(f"what a step on the row does to the column: Z, at most {largest:.2g}", parse_math=False)
        of_steps.set_ylabel("a step on", parse_math=False)
        _heat(figure, of_gradients, np.nanmean(arrays["cosine"][WHOLE], axis=0), found.tasks, 1.0)
        of_gradients.set_title("cosine of gradients", parse_math=False)
        _ranked(ranked, found, target)
        _layers(figure, layers, found, target, arrays["cosine"])
        about = f"{len(found.steps)} measurements up to step {found.steps[-1]}, look-ahead step {found.rate:g}"
        figure.suptitle(f"Affinity for {target}: {about}", parse_math=False, x=0.01, ha="left")
        with storage(path):
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _heat(figure: Figure, axes: Axes, values: NDArray[np.float64], tasks: tuple[str, ...], most: float | None = None) -> float:
    """A matrix as colours around 0, its diagonal left white, with its numbers; gives the largest size in it."""
    import numpy as np

    shown = values.copy()
    np.fill_diagonal(shown, np.nan)
    known = np.abs(shown[~np.isnan(shown)])
    largest = float(known.max()) if len(known) else 0.0
    limit = most or largest or 1.0
    image = axes.imshow(shown, cmap="PuOr", vmin=-limit, vmax=limit)
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.grid(visible=False)
    axes.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(tasks)), tasks, parse_math=False)
    for (row, column), value in np.ndenumerate(shown):
        if not np.isnan(value):
            colour = "white" if abs(value) > 0.7 * limit else "black"
            text = f"{value:+.2f}" if most else f"{value:+.1e}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    return largest


def _ranked(axes: Axes, found: Affinity, target: str) -> None:
    """Mean Z on the target with its interval, the best on top."""
    order = ranking(found, target)[::-1]
    for place, one in enumerate(order):
        if one.lookahead.mean is None:
            continue
        axes.plot(one.lookahead.mean, place, "o", color=COLOURS[0])
        if one.lookahead.low is not None and one.lookahead.high is not None:
            axes.plot([one.lookahead.low, one.lookahead.high], [place, place], color=COLOURS[0])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(order)), [one.task for one in order], parse_math=False)
    axes.ticklabel_format(axis="x", scilimits=(-2, 2))
    axes.set_title(f"Z on {target}: mean and 95% interval over steps", parse_math=False)


def _layers(figure: Figure, axes: Axes, found: Affinity, target: str, cosines: dict[str, Any]) -> None:
    """Cosines with the target by group of parameters, in the order of the encoder."""
    import numpy as np

    groups = sorted((group for group in cosines if group != WHOLE), key=_depth)
    there = found.tasks.index(target)
    others = [task for task in found.tasks if task != target]
    values = np.array([[np.nanmean(cosines[group][:, found.tasks.index(task), there]) for group in groups] for task in others])
    image = axes.imshow(values, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.grid(visible=False)
    axes.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    axes.set_yticks(range(len(others)), others, parse_math=False)
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column, row, f"{value:+.2f}", ha="center", va="center", fontsize=9, color="white" if abs(value) > 0.7 else "black"
        )
    axes.set_title(f"cosine with {target}, by part of the encoder", parse_math=False)


def _depth(group: str) -> tuple[int, int]:
    """Embeddings first, layers by number, the rest last."""
    number = re.search(r"\d+", group)
    return (0, 0) if group == "embeddings" else (1, int(number[0])) if number else (2, 0)

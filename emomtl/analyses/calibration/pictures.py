"""Reliability curves as a picture: what probabilities say against what is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.calibration.examine import Examined
from emomtl.report.drawing import COLOURS, drawing, hover, named, save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_picture(examined: Examined, path: Path) -> Path:
    """Write `path` as PNG and beside it as SVG and PDF: see `reliability_figure`."""
    with drawing():
        return save_picture(reliability_figure(examined), path)


def reliability_figure(examined: Examined) -> Figure:
    """A panel for each split, a line for each scaling, with ECE and Brier score; points tell what is in them to a mouse."""
    from matplotlib.figure import Figure

    splits = list(examined.rows)
    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(5.2 * len(splits), 5.0), layout="constrained")
        for number, split in enumerate(splits):
            axes = figure.add_subplot(1, len(splits), number + 1)
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
            for place, (name, marker) in enumerate((("as trained", "o"), ("temperature", "s"), ("vector", "^"))):
                found = examined.reliabilities[name, split]
                at, share = [one.probability for one in found.bins], [one.share for one in found.bins]
                label = f"{name} (ECE {found.ece:.3f}, Brier {found.brier:.3f})"
                axes.plot(at, share, color=COLOURS[place], label=label, marker=marker, markersize=4)
                for one in found.bins:
                    told = f"{name}: said {one.probability:.3f}, true {one.share:.3f}, {one.number:,} answers"
                    axes.plot([one.probability], [one.share], marker, markersize=5, color=COLOURS[place], gid=hover(told))
            axes.set_title(f"{split} ({examined.rows[split]:,} rows)")
            axes.set_xlabel("probability that was said")
            axes.set_ylabel("share that is true")
            axes.set_aspect("equal")
            axes.legend(fontsize=8, loc="upper left")
        figure.suptitle(f"{named(examined.task)}: reliability", parse_math=False)
    return figure

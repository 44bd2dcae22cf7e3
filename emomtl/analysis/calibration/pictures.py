"""Reliability curves as a picture: what probabilities say against what is true."""

from __future__ import annotations

from pathlib import Path

from emomtl.analysis.calibration.examine import Examined
from emomtl.report.drawing import COLOURS, drawing, save_picture


def reliability_picture(examined: Examined, path: Path) -> Path:
    """Write `path` as PNG and beside it as SVG: a panel for each split, a line for each scaling."""
    from matplotlib.figure import Figure

    splits = list(examined.rows)
    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(4.6 * len(splits), 4.4), layout="constrained")
        for number, split in enumerate(splits):
            axes = figure.add_subplot(1, len(splits), number + 1)
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
            for place, (name, marker) in enumerate((("as trained", "o"), ("temperature", "s"), ("vector", "^"))):
                found = examined.reliabilities[name, split]
                at, share = [one.probability for one in found.bins], [one.share for one in found.bins]
                label = f"{name} (ECE {found.ece:.3f})"
                axes.plot(at, share, marker=marker, markersize=4, color=COLOURS[place], label=label)
            axes.set_title(f"{split} ({examined.rows[split]:,} rows)")
            axes.set_xlabel("probability that was said")
            axes.set_ylabel("share that is true")
            axes.set_aspect("equal")
            axes.legend(fontsize=8, loc="upper left")
        figure.suptitle(f"{examined.task}: reliability", parse_math=False)
        return save_picture(figure, path)

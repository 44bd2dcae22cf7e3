"""The share of attribution on emotion words of each run, beside their share of the words, and the pointing game."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.attribution.focus import FOCUS, POINTING, SHARE
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, drawing, save_picture

if TYPE_CHECKING:
    from emomtl.analyses.attribution.result import Analysis

PANELS = {SHARE: "share of attribution", FOCUS: "focus", POINTING: "pointing game"}


def picture(found: Analysis, path: Path) -> Path:
    """Write `path` as PNG and beside it as SVG: a panel a figure, a point with its interval a run, chance as a line."""
    from matplotlib.figure import Figure

    names = [plain(one.name) for one in found.runs]
    with drawing():
        figure = Figure(figsize=(4.2 * len(PANELS), 1.6 + 0.45 * len(names)), layout="constrained")
        axes = figure.subplots(1, len(PANELS), sharey=True, squeeze=False)[0]
        for panel, (name, title) in zip(axes, PANELS.items(), strict=True):
            for place, one in enumerate(found.runs):
                value, interval, chance = one.figures[name].value, one.figures[name].interval, one.figures[name].chance
                if value is None or interval is None or chance is None:
                    continue
                reach = [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
                panel.errorbar([value], [place], xerr=reach, fmt="o", capsize=4, color=COLOURS[place % len(COLOURS)])
                panel.plot([chance, chance], [place - 0.4, place + 0.4], color="0.4", linestyle="--", linewidth=1.2)
            panel.set_title(title)
            panel.set_xlim(left=0)
        axes[0].set_yticks(range(len(names)), names, parse_math=False)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].set_xlabel("dashed: chance")
        about = f"Attribution on emotion words: {plain(found.task)}, {found.question.split}, {len(found.chosen.labels):,} texts"
        figure.suptitle(about, parse_math=False, x=0.01, ha="left")
        return save_picture(figure, path)

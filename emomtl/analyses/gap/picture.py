"""Train and validation of every run beside each other, a panel a figure."""

from __future__ import annotations

from pathlib import Path

from emomtl.analyses.gap.measure import SPLITS, Measured
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, drawing, save_picture

MARKERS = ("o", "s")


def picture(found: Measured, path: Path) -> Path:
    """Write `path` as PNG and beside it as SVG: for each checkpoint of a run the figure on either split with its interval."""
    from matplotlib.figure import Figure

    figures = list(dict.fromkeys(name for one in found.gaps for name in one.gaps))
    rows = [f"{plain(one.run)}\n{one.which}" for one in found.gaps]
    with drawing():
        figure = Figure(figsize=(2.0 + 3.8 * len(figures), 2.0 + 0.6 * len(rows)), layout="constrained")
        axes = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
        for panel, name in zip(axes, figures, strict=True):
            for number, split in enumerate(SPLITS):
                for place, one in enumerate(found.gaps):
                    known = one.figures.get((name, split))
                    if known is None or known.value is None or known.interval is None:
                        continue
                    low, high = known.interval
                    reach = [[max(known.value - low, 0.0)], [max(high - known.value, 0.0)]]
                    label = split if place == 0 else None
                    style = {"fmt": MARKERS[number], "capsize": 3, "color": COLOURS[number], "label": label}
                    panel.errorbar([known.value], [place + 0.16 * (2 * number - 1)], xerr=reach, **style)
            panel.set_title(plain(name), parse_math=False)
        axes[0].set_yticks(range(len(rows)), rows, parse_math=False)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(f"Train and validation: {plain(found.task)}", parse_math=False, x=0.01, ha="left")
        return save_picture(figure, path)

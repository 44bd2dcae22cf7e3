"""Pictures of kept answers: F1 by label, confusion, co-occurrence, thresholds, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.answers.confusion import DRAWN, Confusion, Together
from emomtl.analyses.answers.kept import Kept, Level
from emomtl.analyses.answers.labels import RARE, LabelF1
from emomtl.metrics.tuning.thresholds import GRID, f1_curve, fit_thresholds, mean_f1
from emomtl.report.drawing import COLOURS, drawing, hover, named
from emomtl.report.heat_map import HeatMap, colour_bar, draw_heat_map, side_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CLOUD = 400
"""Rows from which on numbers are drawn as a density and not as points."""


SMALL: dict[str, Any] = {"font.size": 9}


def _titled(figure: Figure, kept: Kept, level: Level | None, what: str) -> Figure:
    """Add the title, and below it on which rows."""
    task = named(kept.named(level) if level is not None else kept.task)
    rows = f"{kept.split}, {len(kept.answers):,} rows, best checkpoint of {named(kept.run)}"
    title = f"{task}: {what}\n{rows}"
    figure.suptitle(title, parse_math=False, fontsize=11, x=0.01, ha="left")
    return figure


def label_picture(kept: Kept, level: Level, labels: Sequence[LabelF1]) -> Figure:
    """F1 of each label with its interval, the best on top.

    Labels with few rows are hollow; the mean is a line.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    macro = labels[-1]
    best_last = sorted(
        labels[:-1], key=lambda one: (-1.0 if one.f1 is None else one.f1, one.support)
    )
    dot: dict[str, Any] = {"marker": "o", "color": COLOURS[0], "markersize": 6}
    with drawing(**SMALL):
        figure = Figure(figsize=(9, 1.7 + 0.25 * len(best_last)), layout="constrained")
        axes = figure.add_subplot()
        for place, one in enumerate(best_last):
            if one.f1 is None:
                continue
            interval = "no interval"
            if one.low is not None and one.high is not None:
                interval = f"{one.low:.3f} to {one.high:.3f}"
                axes.plot(
                    [one.low, one.high], [place, place], linewidth=2, alpha=0.55, color=COLOURS[0]
                )
            text = f"{named(one.name)}: F1 {one.f1:.3f} ({interval}), {one.support:,} rows"
            face = "white" if one.rare else COLOURS[0]
            look = {**dot, "markerfacecolor": face, "zorder": 3, "gid": hover(text)}
            axes.plot([one.f1], [place], **look)
        keys = {"F1 with 95% interval over rows": Line2D([], [], **dot)}
        if any(one.rare for one in best_last):
            keys[f"fewer than {RARE} rows"] = Line2D([], [], markerfacecolor="white", **dot)
        if macro.f1 is not None:
            line = axes.axvline(macro.f1, color=COLOURS[1], linewidth=1.2, linestyle="--")
            interval = f" ({macro.low:.3f} to {macro.high:.3f})" if macro.low is not None else ""
            keys[f"macro {macro.f1:.3f}{interval}"] = line
        ticks = [f"{named(one.name)} ({one.support:,})" for one in best_last]
        axes.set_yticks(range(len(ticks)), ticks, parse_math=False)
        axes.set_ylim(-0.7, len(ticks) - 0.3)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("F1 (in brackets: rows that have the label)")
        figure.legend(list(keys.values()), list(keys), loc="outside lower center", ncols=3)
        return _titled(figure, kept, level, "F1 by label")


def confusion_picture(kept: Kept, level: Level, found: Confusion) -> Figure:
    """The shares of each true label's rows by answer."""
    from matplotlib.figure import Figure

    def describe(row: int, column: int) -> str:
        missed = "answered" if level.exclusive else "missed, and"
        answer = "found" if row == column else f"{missed} {found.answered[column]}"
        if column == len(found.names):
            answer = "missed, and no wrong label answered in its place"
        rows = f"{found.counts[row, column]:,} of {found.support[row]:,} rows"
        return f"{found.names[row]}: {answer}, {rows}"

    rows = [f"{name} ({n:,})" for name, n in zip(found.names, found.support, strict=True)]
    shares = found.shares
    heat_map = HeatMap(
        shares,
        (rows, found.answered),
        largest=1.0,
        cell_text=lambda row, column: f"{100 * shares[row, column]:.0f}",
        hover_text=describe,
        key="share of the rows that have the label, %",
        groups=level.groups,
        separate_column=None if level.exclusive else len(found.names),
    )
    with drawing(**SMALL):
        size = side_length(len(found.answered))
        figure = Figure(figsize=(size + 0.6, size), layout="constrained")
        axes = figure.add_subplot()
        draw_heat_map(figure, axes, heat_map)
        axes.set_ylabel("true label (rows)")
        of_several = "wrong label in its place; diagonal: found; grey: missed without one"
        axes.set_xlabel("answer" if level.exclusive else of_several)
        return _titled(figure, kept, level, "confusion, % of each row's label")


def together_picture(kept: Kept, level: Level, found: Together) -> Figure:
    """Jaccard indices in targets above the diagonal, in answers below it, and their difference."""
    from matplotlib.figure import Figure

    targets, answers = np.nan_to_num(found.targets), np.nan_to_num(found.answers)
    lower = np.tril(np.ones(targets.shape, dtype=bool), -1)
    both = np.where(lower.T, found.targets, np.where(lower, found.answers, np.nan))
    gap = np.where(lower, answers - targets, np.nan)

    def describe(row: int, column: int) -> str:
        shares = f"{targets[row, column]:.3f} in targets, {answers[row, column]:.3f} in answers"
        return f"{found.names[row]} and {found.names[column]}: {shares}"

    def largest(values: NDArray[Any]) -> float:
        return max(float(np.abs(np.nan_to_num(values)).max()), 0.01)

    both_ways = (found.names, found.names)
    jaccard = HeatMap(
        both,
        both_ways,
        largest(both),
        cell_text=lambda row, column: f"{100 * both[row, column]:.1f}",
        hover_text=describe,
        key="Jaccard index, %",
        groups=level.groups,
    )
    difference = HeatMap(
        gap,
        both_ways,
        largest(gap),
        cell_text=lambda row, column: f"{100 * gap[row, column]:+.1f}",
        hover_text=describe,
        key="answers less targets, %",
        diverging=True,
        groups=level.groups,
    )
    with drawing(**SMALL):
        size, beside = side_length(len(found.names)), len(found.names) <= 10
        shape = (2 * size, size) if beside else (size, 2 * size)
        figure = Figure(figsize=shape, layout="constrained")
        first, second = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
        draw_heat_map(figure, first, jaccard)
        first.set_title("above the diagonal: targets; below: answers")
        draw_heat_map(figure, second, difference)
        second.set_title("answers less targets")
        return _titled(figure, kept, level, "labels that occur together")


def threshold_picture(kept: Kept, level: Level) -> Figure:
    """F1 over the threshold: the mean in bold, labels thin, and what validation's rows choose.

    Of more labels than can be told apart (`DRAWN`) only the mean is drawn.
    """
    from matplotlib.figure import Figure

    assert kept.validation is not None
    tuned_on = (kept.validation.probabilities, kept.validation.targets)
    for_all, by_label = (fit_thresholds(*tuned_on, kind) for kind in ("global", "per-label"))
    grid = np.arange(1, GRID + 1) / (GRID + 1)
    curve, _ = f1_curve(kept.answers.probabilities, kept.answers.targets, grid)
    names = kept.head.outputs(kept.taxonomy)
    with drawing(**SMALL):
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(names if len(names) <= DRAWN else ()):
            threshold = float(by_label.values[place])
            f1 = float(np.interp(threshold, grid, curve[:, place]))
            axes.plot(grid, curve[:, place], color="0.72", linewidth=0.8, gid=hover(named(name)))
            shared = " (that for all: too few rows)" if place in by_label.shared else ""
            text = f"{named(name)}: threshold {threshold:.2f}{shared}, F1 {f1:.3f}"
            look: dict[str, Any] = {"color": COLOURS[2], "alpha": 0.8, "gid": hover(text)}
            label = None if place else "a label, and its own threshold"
            axes.plot([threshold], [f1], "o", markersize=4, label=label, **look)
        mean = mean_f1(curve)
        bold = "macro F1, one threshold for all"
        axes.plot(grid, mean, color=COLOURS[0], linewidth=2.6, label=bold)
        best = float(for_all.values[0])
        lines = ((0.5, "as it is", ":", "black"), (best, "best on validation", "--", COLOURS[1]))
        for threshold, what, style, colour in lines:
            f1 = float(np.interp(threshold, grid, mean))
            label = f"{threshold:.2f} ({what}): macro F1 {f1:.3f}"
            axes.axvline(threshold, color=colour, linewidth=1.2, linestyle=style, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("threshold: a label is answered from this probability on")
        axes.set_ylabel(f"F1 on {kept.split}")
        figure.legend(loc="outside right upper")
        return _titled(figure, kept, level, "F1 over the threshold")


def numbers_picture(kept: Kept) -> Figure:
    """Answers against targets of each dimension, and below them the residuals."""
    from matplotlib.figure import Figure

    names = kept.head.outputs(kept.taxonomy)
    with drawing(**SMALL):
        size = (max(4.4 * len(names), 5.5), 7.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(2, len(names), squeeze=False, height_ratios=[2, 1])
        for place, name in enumerate(names):
            known = ~np.isnan(kept.answers.targets[:, place])
            targets = kept.answers.targets[known, place]
            predicted = kept.answers.probabilities[known, place]
            if len(targets):
                panels[0, place].set_title(named(name), parse_math=False)
                _numbers(panels[0, place], panels[1, place], targets, predicted)
        return _titled(figure, kept, None, "answers against targets")


def _numbers(cloud: Axes, below: Axes, targets: NDArray[Any], predicted: NDArray[Any]) -> None:
    """One dimension: a cloud of rows (a density of many), and a histogram of the residuals."""
    if len(targets) > CLOUD:
        mesh = cloud.hexbin(
            targets, predicted, gridsize=28, mincnt=1, bins="log", cmap="Blues", linewidths=0
        )
        colour_bar(cloud.figure, cloud, mesh, "rows")  # type: ignore[arg-type]
    else:
        cloud.plot(targets, predicted, "o", markersize=4, alpha=0.5, color=COLOURS[0])
    ends = (min(targets.min(), predicted.min()), max(targets.max(), predicted.max()))
    dashes: dict[str, Any] = {"color": "0.4", "linewidth": 1, "linestyle": "--"}
    cloud.plot(ends, ends, **dashes)
    cloud.set_xlabel("target")
    cloud.set_ylabel("answer")
    residuals = predicted - targets
    mean = float(residuals.mean())
    below.hist(residuals, bins=40, color=COLOURS[0], alpha=0.8)
    below.axvline(0, **dashes)
    text = hover(f"mean residual {mean:+.3f}")
    below.axvline(mean, color=COLOURS[1], linewidth=1.4, gid=text)
    below.set_xlabel(f"answer less target (mean {mean:+.3f}, sd {residuals.std():.3f})")
    below.set_ylabel("rows")

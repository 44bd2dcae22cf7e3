"""Pictures of kept answers: F1 by label, confusion, co-occurrence, thresholds, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emomtl.analyses.answers.confusion import DRAWN, Confusion, Together
from emomtl.analyses.answers.heat import heat, key_to, side
from emomtl.analyses.answers.kept import Kept, Level
from emomtl.analyses.answers.labels import RARE, LabelFigure
from emomtl.metrics.tuning.thresholds import GRID, f1_curve, fit_thresholds, mean_f1
from emomtl.report.drawing import COLOURS, drawing, hover, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLOUD = 400
"""Rows from which on numbers are drawn as a density and not as points."""


def _titled(figure: Figure, kept: Kept, level: Level | None, what: str) -> Figure:
    """The head line, and below it on which rows."""
    of = kept.named(level) if level is not None else kept.task
    title = f"{named(of)}: {what}\n{kept.split}, {len(kept.answers):,} rows, best checkpoint of {named(kept.run)}"
    figure.suptitle(title, parse_math=False, fontsize=11, x=0.01, ha="left")
    return figure


def label_picture(kept: Kept, level: Level, figures: Sequence[LabelFigure]) -> Figure:
    """F1 of each label with its interval, the best on top; labels with few rows are drawn hollow; the mean is a line."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    *labels, macro = figures
    shown = sorted(labels, key=lambda one: (one.f1 if one.f1 is not None else -1.0, one.support))
    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(9, 1.7 + 0.25 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        for place, one in enumerate(shown):
            if one.f1 is None:
                continue
            interval = f"{one.low:.3f} to {one.high:.3f}" if one.low is not None else "no interval"
            told = hover(f"{named(one.name)}: F1 {one.f1:.3f} ({interval}), {one.support:,} rows")
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [place, place], color=COLOURS[0], linewidth=2, alpha=0.55, gid=told)
            face = "white" if one.rare else COLOURS[0]
            axes.plot([one.f1], [place], "o", color=COLOURS[0], markerfacecolor=face, markersize=6, zorder=3, gid=told)
        handles = [Line2D([], [], marker="o", color=COLOURS[0], markersize=6, alpha=0.8)]
        names = ["F1 with 95% interval over rows"]
        if any(one.rare for one in shown):
            handles.append(Line2D([], [], marker="o", color=COLOURS[0], markerfacecolor="white", markersize=6))
            names.append(f"fewer than {RARE} rows")
        if macro.f1 is not None:
            handles.append(axes.axvline(macro.f1, color=COLOURS[1], linewidth=1.2, linestyle="--"))
            names.append(f"macro {macro.f1:.3f}" + (f" ({macro.low:.3f} to {macro.high:.3f})" if macro.low is not None else ""))
        axes.set_yticks(range(len(shown)), [f"{named(one.name)} ({one.support:,})" for one in shown], parse_math=False)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("F1 (in brackets: rows that have the label)")
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        return _titled(figure, kept, level, "F1 by label")


def confusion_picture(kept: Kept, level: Level, found: Confusion) -> Figure:
    """The shares of each true label's rows by answer."""
    from matplotlib.figure import Figure

    def told(row: int, column: int) -> str:
        if column == len(found.names):
            rows = f"{found.counts[row, column]:,} of {found.support[row]:,} rows"
            return f"{found.names[row]}: missed, and no wrong label answered in its place, {rows}"
        answer = "found" if row == column else f"{'answered' if level.exclusive else 'missed, and'} {found.answered[column]}"
        return f"{found.names[row]}: {answer}, {found.counts[row, column]:,} of {found.support[row]:,} rows"

    with drawing(**{"font.size": 9}):
        size = side(len(found.answered))
        figure = Figure(figsize=(size + 0.6, size), layout="constrained")
        axes = figure.add_subplot()
        names = ([f"{name} ({n:,})" for name, n in zip(found.names, found.support, strict=True)], found.answered)
        key = "share of the rows that have the label, %"
        look: dict[str, Any] = {"groups": level.groups, "key": key, "apart": None if level.exclusive else len(found.names)}
        heat(figure, axes, found.shares, names, told, largest=1.0, spelt=_hundredths, **look)
        axes.set_ylabel("true label (rows)")
        axes.set_xlabel("answer" if level.exclusive else "wrong label in its place; diagonal: found; grey: missed without one")
        return _titled(figure, kept, level, "confusion, % of each row's label")


def together_picture(kept: Kept, level: Level, found: Together) -> Figure:
    """Jaccard indices in targets above the diagonal, in answers below it; and what answers have more or less."""
    import numpy as np
    from matplotlib.figure import Figure

    upper, lower = (np.triu(np.ones(found.targets.shape, dtype=bool), 1), np.tril(np.ones(found.targets.shape, dtype=bool), -1))
    both = np.where(upper, found.targets, np.where(lower, found.answers, np.nan))
    gap = np.where(lower, np.nan_to_num(found.answers) - np.nan_to_num(found.targets), np.nan)

    def told(row: int, column: int) -> str:
        true, said = (float(np.nan_to_num(one[row, column])) for one in (found.targets, found.answers))
        return f"{found.names[row]} and {found.names[column]}: {true:.3f} in targets, {said:.3f} in answers"

    with drawing(**{"font.size": 9}):
        size = side(len(found.names))
        wide = len(found.names) <= 10
        figure = Figure(figsize=(2 * size, size) if wide else (size, 2 * size), layout="constrained")
        first, second = figure.subplots(1, 2) if wide else figure.subplots(2, 1)
        names = (found.names, found.names)
        most = max(float(np.nanmax(np.nan_to_num(both))), 0.01)
        heat(figure, first, both, names, told, largest=most, spelt=_tenths, groups=level.groups, key="Jaccard index, %")
        first.set_title("above the diagonal: targets; below: answers")
        most = max(float(np.nanmax(np.abs(np.nan_to_num(gap)))), 0.01)
        look: dict[str, Any] = {"groups": level.groups, "key": "answers less targets, %", "diverging": True}
        heat(figure, second, gap, names, told, largest=most, spelt=lambda value: f"{100 * value:+.1f}", **look)
        second.set_title("answers less targets")
        return _titled(figure, kept, level, "labels that occur together")


def _hundredths(value: float) -> str:
    return f"{100 * value:.0f}"


def _tenths(value: float) -> str:
    return f"{100 * value:.1f}"


def threshold_picture(kept: Kept, level: Level) -> Figure:
    """F1 over the threshold: the mean in bold, labels thin, with what validation's rows choose for all and for each label.

    Of more labels than can be told apart (`DRAWN`) only the mean is drawn.
    """
    import numpy as np
    from matplotlib.figure import Figure

    targets, probabilities = kept.answers.targets, kept.answers.probabilities
    assert kept.validation is not None
    tuned_on = (kept.validation.probabilities, kept.validation.targets)
    grid = np.arange(1, GRID + 1) / (GRID + 1)
    curve, _ = f1_curve(probabilities, targets, grid)
    every, own = (fit_thresholds(*tuned_on, kind) for kind in ("global", "per-label"))
    names = kept.head.outputs(kept.taxonomy)
    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(names if len(names) <= DRAWN else ()):
            at = float(own.values[place])
            value = float(np.interp(at, grid, curve[:, place]))
            axes.plot(grid, curve[:, place], color="0.72", linewidth=0.8, gid=hover(named(name)))
            shared = " (that for all: too few rows)" if place in own.shared else ""
            told = hover(f"{named(name)}: threshold {at:.2f}{shared}, F1 {value:.3f}")
            label = "a label, and its own threshold" if not place else None
            axes.plot([at], [value], "o", markersize=4, color=COLOURS[2], alpha=0.8, label=label, gid=told)
        mean = mean_f1(curve)
        axes.plot(grid, mean, color=COLOURS[0], linewidth=2.6, label="macro F1, one threshold for all")
        chosen = float(every.values[0])
        for at, style, colour in ((0.5, ":", "black"), (chosen, "--", COLOURS[1])):
            value = float(np.interp(at, grid, mean))
            what = "as it is" if at == 0.5 and style == ":" else "best on validation"
            axes.axvline(at, color=colour, linewidth=1.2, linestyle=style, label=f"{at:.2f} ({what}): macro F1 {value:.3f}")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("threshold: a label is answered from this probability on")
        axes.set_ylabel(f"F1 on {kept.split}")
        figure.legend(loc="outside right upper")
        return _titled(figure, kept, level, "F1 over the threshold")


def numbers_picture(kept: Kept) -> Figure:
    """For each dimension answers against targets, and below it the residuals."""
    import numpy as np
    from matplotlib.figure import Figure

    names = kept.head.outputs(kept.taxonomy)
    with drawing(**{"font.size": 9}):
        figure = Figure(figsize=(max(4.4 * len(names), 5.5), 7.6), layout="constrained")
        panels = figure.subplots(2, len(names), squeeze=False, height_ratios=[2, 1])
        for place, name in enumerate(names):
            known = ~np.isnan(kept.answers.targets[:, place])
            true, said = kept.answers.targets[known, place], kept.answers.probabilities[known, place]
            if not len(true):
                continue
            cloud, rest = panels[0, place], panels[1, place]
            ends = (min(true.min(), said.min()), max(true.max(), said.max()))
            if len(true) > CLOUD:
                mesh = cloud.hexbin(true, said, gridsize=28, mincnt=1, bins="log", cmap="Blues", linewidths=0)
                key_to(figure, cloud, mesh, "rows")
            else:
                cloud.plot(true, said, "o", markersize=4, alpha=0.5, color=COLOURS[0])
            cloud.plot(ends, ends, color="0.4", linewidth=1, linestyle="--")
            cloud.set_title(named(name), parse_math=False)
            cloud.set_xlabel("target")
            cloud.set_ylabel("answer")
            residuals = said - true
            rest.hist(residuals, bins=40, color=COLOURS[0], alpha=0.8)
            rest.axvline(0, color="0.4", linewidth=1, linestyle="--")
            told = hover(f"mean residual {residuals.mean():+.3f}")
            rest.axvline(float(residuals.mean()), color=COLOURS[1], linewidth=1.4, gid=told)
            rest.set_xlabel(f"answer less target (mean {residuals.mean():+.3f}, sd {residuals.std():.3f})")
            rest.set_ylabel("rows")
        return _titled(figure, kept, None, "answers against targets")

"""Pictures of a study: differences with intervals, every seed's figures, the course of training, realised sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Picture
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.significance import POWER, Comparison
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, canvas, drawing, hover
from emomtl.study.result import COLUMNS, StudyResult

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emomtl.report.collect import RunResult
    from emomtl.study.planning import Scoring

GREY, SHADE = "#666666", "#E8E8E8"
Point = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """What pictures are drawn from: the table, and the runs by row and seed as far as they have come."""

    result: StudyResult
    runs: Mapping[str, Mapping[int, RunResult]]

    def colour(self, row: str) -> str:
        """The colour of a row in every picture; the reference is grey."""
        if row == self.result.reference.name:
            return GREY
        others = [one.name for one in self.result.rows if one is not self.result.reference]
        return COLOURS[others.index(row) % len(COLOURS)]


def named(result: StudyResult) -> str:
    """What the rows are scored by, in words."""
    return result.figures[0] if len(result.figures) == 1 else "each row's figure"


def named_in_course(result: StudyResult) -> str:
    """What evaluations during training were scored by, in words: a metric at tuned thresholds is not tuned there."""
    names = list(dict.fromkeys(f"{row.scoring.target}/{row.scoring.untuned}" for row in result.rows))
    return names[0] if len(names) == 1 else "each row's figure"


def study_pictures(drawn: Drawn) -> list[Picture]:
    """What there is to draw of a study."""
    figures = named(drawn.result)
    compared = drawn.result.reference.scoring.name
    painters: list[tuple[str, str, Callable[[Drawn], Figure | None]]] = [
        (f"Difference of {compared} on test, with {LEVEL:.0%} intervals", "differences", _differences),
        (f"{figures} of every seed", "seeds", _seeds),
        (f"{named_in_course(drawn.result)} on validation in the course of training", "course", _course),
        ("Examples that each task was trained on", "sampling", _sampling),
    ]
    made = []
    with drawing():
        for title, name, paint in painters:
            if (figure := paint(drawn)) is not None:
                made.append(Picture(plain(title), f"study-{name}", figure))
    return made


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows of the table from top to bottom, drawn as they are, never as formulas."""
    axes.set_yticks(range(len(names)), [_wrapped(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _wrapped(name: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(plain(name), 26)) or " "


def _differences(drawn: Drawn) -> Figure | None:
    """A forest: each row's difference and interval; within the shade a true difference would mostly be missed."""
    from matplotlib.patches import Patch

    found = [(row, row.comparison) for row in drawn.result.rows if row.comparison is not None]
    if not found:
        return None
    figure, (axes,) = canvas(10, 1.5 + 0.55 * len(found))
    for place, (row, comparison) in enumerate(found):
        _difference(axes, place, plain(row.name), comparison, drawn.colour(row.name))
        axes.text(1.01, place, comparison.verdict, transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    _named_rows(axes, [row.name for row, _ in found])
    axes.axvline(0, color="black", linewidth=1)
    reference = drawn.result.reference
    less = "less is better" if reference.scoring.less_is_better else "more is better"
    other = "the row that it stands against" if drawn.result.several_references else plain(reference.name)
    axes.set_xlabel(f"{plain(reference.scoring.metric)}, row less {other} ({less})", parse_math=False)
    shade = Patch(color=SHADE, label=f"a true difference in here is missed more often than {1 - POWER:.0%} of the time")
    figure.legend(handles=[shade], loc="outside upper right")
    return figure


def _difference(axes: Axes, place: int, name: str, comparison: Comparison, colour: str) -> None:
    """One line of the forest, as far as it is defined."""
    one, reach = comparison.difference, comparison.detectable
    if one.value is None:
        return
    interval = "no interval"
    if one.low is not None and one.high is not None:
        interval = f"{one.low:+.4f} to {one.high:+.4f}"
    said = f"{name}: {one.value:+.4f} ({interval}), {comparison.verdict}"
    if reach is not None:
        axes.barh(place, 2 * reach, left=-reach, height=0.8, color=SHADE, zorder=0)
    if one.low is not None and one.high is not None:
        ends: dict[str, Any] = {"linewidth": 2.2, "marker": "|", "markersize": 9}
        axes.plot([one.low, one.high], [place, place], color=colour, gid=hover(said), **ends)
    axes.plot([one.value], [place], color=colour, marker="o", markersize=8, gid=hover(f"{said} "))


def _seeds(drawn: Drawn) -> Figure | None:
    """Dots for seeds and a bar for their mean, at best and at last, on validation and on test."""
    rows = [row for row in drawn.result.rows if row.figures]
    if not rows:
        return None
    figure, panels = canvas(10, 1.4 + 0.5 * len(rows), columns=len(COLUMNS), sharey=True, sharex=True)
    for axes, column in zip(panels, COLUMNS, strict=True):
        for place, row in enumerate(rows):
            for seed, value in row.figures.get(column, {}).items():
                if value is None:
                    continue
                name = hover(f"{plain(row.name)}, seed {seed}: {value:.4f}")
                axes.plot([value], [place], "o", markersize=6, alpha=0.7, color=drawn.colour(row.name), gid=name)
            if (spread := row.spread(column)) is not None:
                axes.plot([spread.mean] * 2, [place - 0.28, place + 0.28], color="black", linewidth=1.6)
        axes.set_title(", ".join(column))
        axes.locator_params(axis="x", nbins=3)
    _named_rows(panels[0], [row.name for row in rows])
    for axes in panels[1:]:
        axes.grid(axis="y", visible=False)
    figure.supxlabel(f"{plain(named(drawn.result))}; a dot a seed, the bar is their mean", fontsize=11, parse_math=False)
    return figure


def _course(drawn: Drawn) -> Figure | None:
    """The figure over updates of the target: a thin line a seed, a thick one for their mean, a star at each chosen checkpoint.

    A row that has the runs of one before it, and stands against another row than that, is not drawn again.
    """
    from matplotlib.lines import Line2D

    figure, (axes,) = canvas(10, 4.6)
    handles = []
    scorings = {row.name: row.scoring for row in drawn.result.rows}
    shown: list[list[Path]] = []
    for row, runs in drawn.runs.items():
        scoring, folders = scorings[row], sorted(run.folder for run in runs.values())
        if folders in shown:
            continue
        shown.append(folders)
        colour, reference = drawn.colour(row), row == drawn.result.reference.name
        lines = {seed: points for seed, run in runs.items() if (points := _points(scoring, run))}
        for seed, points in lines.items():
            name = hover(f"{plain(row)}, seed {seed}")
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.9, alpha=0.55, gid=name)
            if (star := _chosen(scoring, runs[seed])) is not None:
                axes.plot([star[0]], [star[1]], "*", color=colour, markersize=11, markeredgecolor="black", gid=f"{name}, chosen")
        if lines:
            whole = zip(*lines.values(), strict=False)
            mean = [(sum(x for x, _ in at) / len(at), sum(y for _, y in at) / len(at)) for at in whole]
            look: dict[str, Any] = {"linestyle": "--" if reference else "-", "marker": "o", "markersize": 4, "linewidth": 2.6}
            axes.plot(*zip(*mean, strict=True), color=colour, gid=hover(f"{plain(row)}, mean of {len(lines)}"), **look)
            handles.append(Line2D([], [], color=colour, label=_wrapped(row), **look))
    if not handles:
        return None
    sample: dict[str, Any] = {"marker": "*", "linestyle": "none", "color": "white", "markeredgecolor": "black", "markersize": 11}
    handles.append(Line2D([], [], label="chosen checkpoint\nof a seed", **sample))
    axes.set_xlabel("updates of the target")
    axes.set_ylabel(f"{plain(named_in_course(drawn.result))} on validation", parse_math=False)
    axes.set_xlim(left=0)
    for text in figure.legend(handles=handles, loc="outside right upper").get_texts():
        text.set_parse_math(False)
    return figure


def _points(scoring: Scoring, run: RunResult) -> list[Point]:
    """(updates of the target, figure) of every evaluation of a run."""
    return [
        (_updates(scoring, run, event["step"]), value)
        for event in run.validations
        if (value := event["scores"].get(scoring.target, {}).get(scoring.untuned)) is not None
    ]


def _chosen(scoring: Scoring, run: RunResult) -> Point | None:
    """Where the best checkpoint lies, of a run that has one."""
    for entry in run.evaluations:
        if entry.get("by") == "train" and entry.get("which") == "best":
            value = entry["tasks"].get(scoring.target, {}).get("metrics", {}).get(scoring.untuned)
            return None if value is None else (_updates(scoring, run, entry["step"]), value)
    return None


def _updates(scoring: Scoring, run: RunResult, step: int) -> float:
    """The target's updates at a step; between two logged ones on the straight line between them."""
    import numpy as np

    steps = [0, *(event["step"] for event in run.steps)]
    updates = [0, *(event["updates"].get(scoring.target, 0) for event in run.steps)]
    return float(np.interp(step, steps, updates))


def _sampling(drawn: Drawn) -> Figure | None:
    """Examples of each task in each row, the mean over its seeds, beside one another in one bar."""
    tasks = list(dict.fromkeys(task for runs in drawn.runs.values() for run in runs.values() for task in run.tasks))
    rows = [row for row, runs in drawn.runs.items() if any(run.steps for run in runs.values())]
    if not rows:
        return None
    figure, (axes,) = canvas(10, 1.5 + 0.45 * len(rows))
    so_far = [0.0] * len(rows)
    for number, task in enumerate(tasks):
        means = []
        for row in rows:
            counts = [run.counts.get(task, 0) for run in drawn.runs[row].values() if run.steps]
            means.append(sum(counts) / len(counts))
        bars = axes.barh(
            range(len(rows)), means, left=so_far, height=0.6, color=COLOURS[number % len(COLOURS)], label=plain(task)
        )
        for bar, row, mean in zip(bars, rows, means, strict=True):
            bar.set_gid(hover(f"{plain(row)}: {mean:,.0f} examples of {plain(task)}"))
        so_far = [before + mean for before, mean in zip(so_far, means, strict=True)]
    _named_rows(axes, rows)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("examples, mean over seeds")
    for text in figure.legend(loc="outside right upper").get_texts():
        text.set_parse_math(False)
    return figure

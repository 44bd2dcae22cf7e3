"""Pictures of a study: differences with intervals, every seed, the course of training, sampling."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Picture
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.significance import POWER, Comparison
from emomtl.report.cells import plain
from emomtl.report.drawing import COLOURS, canvas, drawing, hover
from emomtl.study.result import COLUMNS, RowResult, StudyResult
from emomtl.study.table import interval

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
    """What pictures are drawn from: the result, and the runs by row and seed as far as they have
    come.
    """

    result: StudyResult
    runs: Mapping[str, Mapping[int, RunResult]]

    def colour(self, row: str) -> str:
        """The colour of a row in every picture; the reference is grey."""
        reference = self.result.reference.name
        others = [other.name for other in self.result.rows if other.name != reference]
        return GREY if row == reference else COLOURS[others.index(row) % len(COLOURS)]

    @property
    def training_metric(self) -> str:
        """What evaluations during training are scored by, in words: at untuned thresholds."""
        names = {f"{row.scoring.target}/{row.scoring.untuned}" for row in self.result.rows}
        return names.pop() if len(names) == 1 else "each row's figure"


def study_pictures(drawn: Drawn) -> list[Picture]:
    """What there is to draw of a study."""
    compared = drawn.result.reference.scoring.name
    metric, training_metric = drawn.result.metric_in_words, drawn.training_metric
    painters: list[tuple[str, str, Callable[[Drawn], Figure | None]]] = [
        ("differences", f"Difference of {compared} on test, with {LEVEL:.0%} intervals", _forest),
        ("seeds", f"{metric} of every seed", _seeds),
        ("course", f"{training_metric} on validation in the course of training", _course),
        ("sampling", "Examples that each task was trained on", _sampling),
    ]
    pictures = []
    with drawing():
        for name, title, paint in painters:
            figure = paint(drawn)
            if figure is not None:
                pictures.append(Picture(plain(title), f"study-{name}", figure))
    return pictures


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows of the table from top to bottom; names are shown as they are, never as formulas."""
    axes.set_yticks(range(len(names)), [_wrapped(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(plain(name), 26)) or " "


def _legend(figure: Figure, **options: Any) -> None:
    for text in figure.legend(loc="outside right upper", **options).get_texts():
        text.set_parse_math(False)


def _forest(drawn: Drawn) -> Figure | None:
    """Each row's difference and interval; a true difference within the shade would mostly be
    missed.
    """
    from matplotlib.patches import Patch

    result = drawn.result
    rows = [row for row in result.rows if row.comparison is not None]
    if not rows:
        return None
    figure, (axes,) = canvas(10, 1.5 + 0.55 * len(rows))
    for place, row in enumerate(rows):
        assert row.comparison is not None
        verdict, right_of_axes = row.comparison.verdict, axes.get_yaxis_transform()
        _draw_difference(axes, place, row, row.comparison, drawn.colour(row.name))
        axes.text(1.01, place, verdict, transform=right_of_axes, va="center", fontsize=10)
    _label_rows(axes, [row.name for row in rows])
    axes.axvline(0, color="black", linewidth=1)
    reference = result.reference
    other = plain(reference.name)
    if result.several_references:
        other = "the row that it stands against"
    better = "less" if reference.scoring.less_is_better else "more"
    label = f"{plain(reference.scoring.metric)}, row less {other} ({better} is better)"
    axes.set_xlabel(label, parse_math=False)
    missed = f"a true difference in here is missed more often than {1 - POWER:.0%} of the time"
    figure.legend(handles=[Patch(color=SHADE, label=missed)], loc="outside upper right")
    return figure


def _draw_difference(
    axes: Axes, place: int, row: RowResult, comparison: Comparison, colour: str
) -> None:
    """One line of the forest, as far as it is defined."""
    difference, detectable = comparison.difference, comparison.detectable
    if difference.value is None:
        return
    ends = interval(difference.low, difference.high, "+.4f", "no interval")
    words = f"{plain(row.name)}: {difference.value:+.4f} ({ends}), {comparison.verdict}"
    if detectable is not None:
        axes.barh(place, 2 * detectable, left=-detectable, height=0.8, color=SHADE, zorder=0)
    if difference.low is not None and difference.high is not None:
        look: dict[str, Any] = {"linewidth": 2.2, "marker": "|", "markersize": 9}
        low_high = [difference.low, difference.high]
        axes.plot(low_high, [place, place], color=colour, gid=hover(words), **look)
    # gid names are unique, hence the space
    dot: dict[str, Any] = {"marker": "o", "markersize": 8, "gid": hover(f"{words} ")}
    axes.plot([difference.value], [place], color=colour, **dot)


def _seeds(drawn: Drawn) -> Figure | None:
    """Dots for seeds and a bar for their mean, a panel for each column of the table."""
    rows = [row for row in drawn.result.rows if row.scores]
    if not rows:
        return None
    figure, panels = canvas(
        10, 1.4 + 0.5 * len(rows), columns=len(COLUMNS), sharey=True, sharex=True
    )
    for axes, column in zip(panels, COLUMNS, strict=True):
        for place, row in enumerate(rows):
            colour = drawn.colour(row.name)
            for seed, value in row.scores.get(column, {}).items():
                if value is not None:
                    name = hover(f"{plain(row.name)}, seed {seed}: {value:.4f}")
                    dot: dict[str, Any] = {"markersize": 6, "alpha": 0.7, "gid": name}
                    axes.plot([value], [place], "o", color=colour, **dot)
            spread = row.spread(column)
            if spread is not None:
                bar = [place - 0.28, place + 0.28]
                axes.plot([spread.mean] * 2, bar, color="black", linewidth=1.6)
        axes.set_title(", ".join(column))
        axes.locator_params(axis="x", nbins=3)
        axes.grid(axis="y", visible=False)
    _label_rows(panels[0], [row.name for row in rows])
    label = f"{plain(drawn.result.metric_in_words)}; a dot a seed, the bar is their mean"
    figure.supxlabel(label, fontsize=11, parse_math=False)
    return figure


def _course(drawn: Drawn) -> Figure | None:
    """The metric over the target's updates: a thin line a seed, a thick one for their mean.

    A star is the chosen checkpoint. A row with the very runs of one before it is not drawn again.
    """
    from matplotlib.lines import Line2D

    figure, (axes,) = canvas(10, 4.6)
    handles = []
    drawn_folders: list[list[Path]] = []
    for row, runs in drawn.runs.items():
        folders = sorted(run.folder for run in runs.values())
        if folders in drawn_folders:
            continue
        drawn_folders.append(folders)
        lines = []
        for seed, run in runs.items():
            name = hover(f"{plain(row)}, seed {seed}")
            points = _draw_run(
                axes, drawn.result.by_name[row].scoring, run, drawn.colour(row), name
            )
            if points:
                lines.append(points)
        if lines:
            is_reference = row == drawn.result.reference.name
            look: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 2.6}
            look |= {"linestyle": "--" if is_reference else "-", "color": drawn.colour(row)}
            mean, name = _mean_line(lines), hover(f"{plain(row)}, mean of {len(lines)}")
            axes.plot(*zip(*mean, strict=True), gid=name, **look)
            handles.append(Line2D([], [], label=_wrapped(row), **look))
    if not handles:
        return None
    star: dict[str, Any] = {"marker": "*", "linestyle": "none", "markersize": 11}
    star |= {"color": "white", "markeredgecolor": "black"}
    handles.append(Line2D([], [], label="chosen checkpoint\nof a seed", **star))
    axes.set_xlabel("updates of the target")
    axes.set_ylabel(f"{plain(drawn.training_metric)} on validation", parse_math=False)
    axes.set_xlim(left=0)
    _legend(figure, handles=handles)
    return figure


def _draw_run(axes: Axes, scoring: Scoring, run: RunResult, colour: str, name: str) -> list[Point]:
    """A line through every evaluation of a run, and a star at its best checkpoint."""
    points = []
    for event in run.validations:
        value = event["scores"].get(scoring.target, {}).get(scoring.untuned)
        if value is not None:
            points.append((_updates(scoring, run, event["step"]), value))
    if not points:
        return []
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.9, alpha=0.55, gid=name)
    for entry in run.evaluations:
        if entry.get("by") == "train" and entry.get("which") == "best":
            scores = entry["tasks"].get(scoring.target, {})
            value = scores.get("metrics", {}).get(scoring.untuned)
            if value is not None:
                star: dict[str, Any] = {"markersize": 11, "markeredgecolor": "black"}
                place = _updates(scoring, run, entry["step"])
                axes.plot([place], [value], "*", color=colour, gid=f"{name}, chosen", **star)
            break
    return points


def _mean_line(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean of several lines, point by point, as far as the shortest."""
    mean = []
    for points in zip(*lines, strict=False):
        x, y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
        mean.append((x, y))
    return mean


def _updates(scoring: Scoring, run: RunResult, step: int) -> float:
    """The target's updates at a step; between two logged ones on the straight line between them."""
    import numpy as np

    steps, updates = [0], [0]
    for event in run.steps:
        steps.append(event["step"])
        updates.append(event["updates"].get(scoring.target, 0))
    return float(np.interp(step, steps, updates))


def _sampling(drawn: Drawn) -> Figure | None:
    """Examples of each task in each row, the mean over its seeds, in one bar a row."""
    runs_by_row: dict[str, list[RunResult]] = {}
    tasks: dict[str, None] = {}
    for row, runs in drawn.runs.items():
        for run in runs.values():
            tasks |= dict.fromkeys(run.tasks)
            if run.steps:
                runs_by_row.setdefault(row, []).append(run)
    if not runs_by_row:
        return None
    figure, (axes,) = canvas(10, 1.5 + 0.45 * len(runs_by_row))
    ends = dict.fromkeys(runs_by_row, 0.0)
    for number, task in enumerate(tasks):
        colour = COLOURS[number % len(COLOURS)]
        for place, (row, started) in enumerate(runs_by_row.items()):
            mean = sum(run.counts.get(task, 0) for run in started) / len(started)
            label = plain(task) if place == 0 else None
            (bar,) = axes.barh(place, mean, left=ends[row], height=0.6, color=colour, label=label)
            bar.set_gid(hover(f"{plain(row)}: {mean:,.0f} examples of {plain(task)}"))
            ends[row] += mean
    _label_rows(axes, list(runs_by_row))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("examples, mean over seeds")
    _legend(figure)
    return figure

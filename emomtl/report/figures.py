"""Figures of the course of runs: scores, learning curves, realised sampling, and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emomtl.contracts.analysis import Picture
from emomtl.metrics.selection import selection_in_words
from emomtl.report.collect import RunResult
from emomtl.report.drawing import (
    COLOURS,
    canvas,
    drawing,
    file_name,
    hover,
    named,
    save_pictures,
    title_figure,
)
from emomtl.report.sampling import exact, expected_examples
from emomtl.report.scores import main_metric_of, selected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("-", "-.", (0, (5, 1)), (0, (1, 1)))
"""A second round of colours is drawn in another dash, so that many tasks stay apart."""

EXPECTED = (0, (1, 1.6))
"""The dash of expected examples."""

MARKED = 60
"""Lines of at most so many points show each of them."""

GREY = "#9A9A9A"
SHAPE: dict[str, Any] = {
    "linestyle": "none",
    "markeredgewidth": 1.2,
    "zorder": 4,
    "clip_on": False,
}
MARKS: dict[str, dict[str, Any]] = {
    "best": {"marker": "*", "markersize": 13, **SHAPE},
    "last": {"marker": "s", "markersize": 14, **SHAPE},
}
"""How the checkpoints that a run keeps are marked on a line."""

RULES = {"best": "--", "last": ":"}
"""The dashes of the vertical lines at these checkpoints."""

Points = list[tuple[int, float]]
Handles = list[tuple[Any, str]]


class Course(NamedTuple):
    """A metric of a task over the evaluations of a run."""

    metric: str
    points: Points


def figures(results: Sequence[RunResult], folder: Path) -> dict[str, Path]:
    """Draw all figures into `folder`, each as PNG, SVG and PDF; gives the PNG's path by caption.

    EmomtlError where the folder cannot be written.
    """
    return save_pictures(pictures(results), folder)


def pictures(results: Sequence[RunResult]) -> list[Picture]:
    """For each run learning curves, realised beside expected sampling, and weights that change.

    With several runs first the course of each common task in all of them. A run that logged nothing
    has no picture. Names are drawn as they are, never as formulas.
    """
    painters: list[tuple[str, str, Callable[[RunResult], Figure | None]]] = [
        ("Learning curves", "learning", _learning),
        ("Realised sampling", "sampling", _sampling),
        ("Weights", "weights", _weights),
    ]
    drawn: list[Picture] = []
    with drawing():
        common = _common_courses(results)
        if common:
            caption = f"Scores over checkpoints, all runs: {', '.join(common)}"
            name = file_name(0, "scores-over-checkpoints")
            drawn.append(Picture(caption, name, _scores_over_checkpoints(results, common)))
        for number, result in enumerate(results, start=1):
            for title, kind, paint in painters:
                figure = paint(result)
                if figure is not None:
                    title_figure(figure, f"{title} of {named(result.name)}")
                    name = file_name(number, result.name, kind)
                    drawn.append(Picture(f"{title} of {result.name}", name, figure))
    return drawn


def _step_panels(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with panels one above the other over one axis of steps."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas(10, 1.2 + 3.4 * panels, rows=panels, sharex=True)
    for panel in axes:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes[-1].set_xlabel("optimiser step", parse_math=False)
    return figure, axes


def _look(place: int) -> dict[str, Any]:
    """Colour and dash of the task in that place of the manifest."""
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": dash}


def _line(axes: Axes, points: Points, place: int, task: str, **look: Any) -> Any:
    """A task's line, which tells its name to a mouse; few points are each marked."""
    if len(points) <= MARKED:
        look = {"marker": "o", "markersize": 4, **look}
    steps, values = zip(*points, strict=True)
    (line,) = axes.plot(steps, values, **{**_look(place), **look}, gid=hover(named(task)))
    return line


def _legend(figure: Figure, handles: Handles) -> None:
    """Names beside the panels, where they hide no line, drawn as they are."""
    lines, names = [], []
    for line, name in handles:
        lines.append(line)
        # matplotlib leaves names that begin with _ out of a legend
        names.append(f" {name}" if name.startswith("_") else name)
    legend = figure.legend(lines, names, loc="outside right upper", borderaxespad=1.5)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _logged_courses(result: RunResult, key: str) -> dict[str, Points]:
    """The logged points of each task that has any."""
    courses: dict[str, Points] = {}
    for task in result.tasks:
        for event in result.steps:
            value = event[key].get(task)
            if value is not None:
                courses.setdefault(task, []).append((event["step"], value))
    return courses


def _least(points: Points) -> float:
    return min(value for _, value in points)


def _varies(points: Points) -> bool:
    return len({value for _, value in points}) > 1


def _learning(result: RunResult) -> Figure | None:
    """Training loss above, each task's main validation metric below, with checkpoints marked."""
    losses, courses = _logged_courses(result, "losses"), _validation_courses(result)
    if not losses and not courses:
        return None
    figure, axes = _step_panels(2 if losses and courses else 1)
    lines: dict[str, Any] = {}
    for task, points in losses.items():
        lines[task] = _line(axes[0], points, result.tasks.index(task), task)
    if losses:
        axes[0].set_ylabel("training loss\n(mean since the last log)", parse_math=False)
    marks: Handles = []
    metrics = list(dict.fromkeys(course.metric for course in courses.values()))
    if courses:
        for task, course in courses.items():
            lines[task] = _line(axes[-1], course.points, result.tasks.index(task), task)
        marks = _mark(result, axes[-1], courses)
        metric = named(metrics[0]) if len(metrics) == 1 else "score"
        axes[-1].set_ylabel(f"validation {metric}", parse_math=False)
        if min(_least(course.points) for course in courses.values()) >= 0:
            axes[-1].set_ylim(bottom=0)
    axes[-1].set_xlim(left=0)
    handles: Handles = []
    for task, line in lines.items():
        name = named(task)
        if len(metrics) > 1 and task in courses:
            name = f"{name}\n({named(courses[task].metric)})"
        handles.append((line, name))
    _legend(figure, [*handles, *marks])
    return figure


def _validation_courses(result: RunResult) -> dict[str, Course]:
    """Each task's metric (the one that selects the best checkpoint, else the main one)."""
    courses = {}
    for task in result.tasks:
        by_step = []
        names: dict[str, None] = {}
        for event in result.validations:
            metrics = event["scores"].get(task, {})
            by_step.append((event["step"], metrics))
            names |= dict.fromkeys(metrics)
        metric = selected(result, task)
        if metric not in names:
            metric = main_metric_of(result, task, names)
        points = [(step, of[metric]) for step, of in by_step if of.get(metric) is not None]
        if metric is not None and points:
            courses[task] = Course(metric, points)
    return courses


def _mark(result: RunResult, axes: Axes, courses: Mapping[str, Course]) -> Handles:
    """Mark each line with a star at the best checkpoint, and with a square at the last one."""
    steps, select = _checkpoint_steps(result), result.manifest.eval.select
    handles: Handles = []
    for which in MARKS:
        if which not in steps:
            continue
        step = steps[which]
        for task, course in courses.items():
            colour = _look(result.tasks.index(task))["color"]
            _mark_checkpoint(axes, which, step, course.points, colour, task)
        axes.axvline(step, color=GREY, linewidth=0.9, linestyle=RULES[which], zorder=1)
        name = f"{which}, step {step}"
        if which == "best" and select:
            name += f"\n(by {named(selection_in_words(select))})"
        handles.append((_legend_mark(which), name))
    return handles


def _mark_checkpoint(
    axes: Axes, which: str, step: int, points: Points, colour: str, name: str
) -> None:
    """A mark on a line where a checkpoint lies, which tells its metric to a mouse."""
    value = dict(points).get(step)
    if value is None:
        return
    face, edge = (colour, "black") if which == "best" else ("none", colour)
    gid = hover(f"{named(name)}: {which} checkpoint, step {step}, {value:.4f}")
    look = {**MARKS[which], "markerfacecolor": face, "markeredgecolor": edge, "gid": gid}
    axes.plot([step], [value], **look)


def _legend_mark(which: str) -> Any:
    """The mark of a checkpoint for a legend."""
    from matplotlib.lines import Line2D

    face = GREY if which == "best" else "none"
    look = {**MARKS[which], "markersize": 10, "markerfacecolor": face, "markeredgecolor": "black"}
    return Line2D([], [], **look)


def _common_courses(results: Sequence[RunResult]) -> dict[str, dict[str, Course]]:
    """By task that several runs scored, the course of each of these runs."""
    by_task: dict[str, dict[str, Course]] = {}
    for result in results:
        for task, course in _validation_courses(result).items():
            by_task.setdefault(task, {})[result.name] = course
    return {task: courses for task, courses in by_task.items() if len(courses) > 1}


def _scores_over_checkpoints(
    results: Sequence[RunResult], by_task: Mapping[str, Mapping[str, Course]]
) -> Figure:
    """A panel for each task: its main metric at every evaluation, a line a run."""
    figure, panels = _step_panels(len(by_task))
    lines: dict[str, Any] = {}
    for axes, (task, courses) in zip(panels, by_task.items(), strict=True):
        for place, result in enumerate(results):
            if result.name not in courses:
                continue
            metric, points = courses[result.name]
            line = _line(axes, points, place, f"{result.name}: {metric}")
            lines.setdefault(named(result.name), line)
            for which, step in _checkpoint_steps(result).items():
                colour = _look(place)["color"]
                _mark_checkpoint(axes, which, step, points, colour, result.name)
        metrics = dict.fromkeys(course.metric for course in courses.values())
        axes.set_title(named(task), parse_math=False, loc="left")
        axes.set_ylabel(f"validation {named(' or '.join(metrics))}", parse_math=False)
        axes.set_xlim(left=0)
    title_figure(figure, "Scores over checkpoints")
    handles = list(zip(lines.values(), lines, strict=True))
    _legend(figure, [*handles, *zip(map(_legend_mark, MARKS), MARKS, strict=True)])
    return figure


def _checkpoint_steps(result: RunResult) -> dict[str, int]:
    """The steps of the best and the last checkpoint; of an unfinished run those so far."""
    steps: dict[str, int] = {}
    for event in result.evaluations:
        if event.get("by") == "train" and event["which"] in MARKS:
            steps[event["which"]] = event["step"]
    if not steps:
        for event in result.validations:
            steps["last"] = event["step"]
            if event.get("best"):
                steps["best"] = event["step"]
    return steps


def _sampling(result: RunResult) -> Figure | None:
    """Examples that each task has had, as a line, beside the expected ones, dotted."""
    if not result.steps:
        return None
    from matplotlib.lines import Line2D
    from matplotlib.ticker import StrMethodFormatter

    figure, (axes,) = _step_panels(1)
    expected = expected_examples(result)
    steps = [0, *(event["step"] for event in result.steps)]
    handles: Handles = []
    for place, task in enumerate(result.tasks):
        counts = [0.0, *(event["counts"].get(task, 0) for event in result.steps)]
        points = list(zip(steps, counts, strict=True))
        # each later line is thinner, so that of lines that coincide every one is seen
        width = 2.2 + 1.5 * max(0, min(len(result.tasks), 4) - 1 - place)
        line = _line(axes, points, place, task, marker="", linewidth=width, alpha=0.6)
        handles.append((line, named(task)))
        values = [0.0, *(examples[task] for examples in expected)]
        look = {**_look(place), "linewidth": 1.6, "linestyle": EXPECTED, "zorder": 3}
        axes.plot(steps, values, **look)
    dotted = Line2D([], [], color="#333333", linewidth=1.6, linestyle=EXPECTED)
    name = "expected"
    if not exact(result):
        name += " (from the\nprobabilities logged)"
    handles.append((dotted, name))
    axes.set_ylabel("examples trained on, cumulative", parse_math=False)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    _legend(figure, handles)
    return figure


def _weights(result: RunResult) -> Figure | None:
    """The weight of each task's loss by step; None where no weight changes."""
    courses = _logged_courses(result, "weights")
    if not any(map(_varies, courses.values())):
        return None
    figure, (axes,) = _step_panels(1)
    handles: Handles = []
    for task, points in courses.items():
        handles.append((_line(axes, points, result.tasks.index(task), task), named(task)))
    axes.set_ylabel("weight of the task's loss", parse_math=False)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=min(0.0, *map(_least, courses.values())))
    _legend(figure, handles)
    return figure

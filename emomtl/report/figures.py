"""Pictures of the course of runs: scores over checkpoints, learning curves, realised sampling, and
weights where they vary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Picture
from emomtl.metrics.selection import selection_in_words
from emomtl.report.collect import RunResult
from emomtl.report.drawing import COLOURS, drawing, file_name, hover, named, save_pictures
from emomtl.report.sampling import exact, expected_examples
from emomtl.report.scores import main_metric_of, selected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("-", "-.", (0, (5, 1)), (0, (1, 1)))
"""A second round of colours is drawn in another dash, so that many tasks stay apart."""
EXPECTED = (0, (1, 1.6))
MARKED = 60
"""Lines of at most so many points show each of them."""
SHAPE: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 1.2, "zorder": 4, "clip_on": False}
MARKS: dict[str, dict[str, Any]] = {
    "best": {"marker": "*", "markersize": 13, **SHAPE},
    "last": {"marker": "s", "markersize": 14, **SHAPE},
}
"""How the checkpoints that a run keeps are marked."""

Handles = list[tuple[Any, str]]


def figures(results: Sequence[RunResult], folder: Path) -> dict[str, Path]:
    """Draw every run's figures into `folder`, each as PNG, SVG and PDF; gives the PNG's path by
    caption.

    EmomtlError where the folder cannot be written.
    """
    return save_pictures(pictures(results), folder)


def pictures(results: Sequence[RunResult]) -> list[Picture]:
    """Learning curves, realised sampling beside the expectation, and weights where a weighting
    changes them.

    With several runs first each common task's course in all of them. A run that logged nothing has
    no picture. Names are drawn as they are, never as formulas.
    """
    painters: list[tuple[str, str, Callable[[RunResult], Figure | None]]] = [
        ("Learning curves", "learning", _learning),
        ("Realised sampling", "sampling", _sampling),
        ("Weights", "weights", _weights),
    ]
    made: list[Picture] = []
    with drawing():
        together = _courses(results)
        if together is not None:
            figure, tasks = together
            made.append(
                Picture(
                    f"Scores over checkpoints, all runs: {', '.join(tasks)}",
                    file_name(0, "scores-over-checkpoints"),
                    figure,
                )
            )
        for number, result in enumerate(results, start=1):
            for title, kind, paint in painters:
                drawn = paint(result)
                if drawn is None:
                    continue
                drawn.suptitle(
                    f"{title} of {named(result.name)}",
                    parse_math=False,
                    fontsize=13,
                    x=0.01,
                    ha="left",
                )
                made.append(
                    Picture(
                        f"{title} of {result.name}", file_name(number, result.name, kind), drawn
                    )
                )
    return made


def _canvas(panels: int) -> tuple[Figure, list[Axes]]:
    """A white figure with panels one above the other over one axis of steps, made without pyplot's
    global state.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 1.2 + 3.4 * panels), layout="constrained")
    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    for one in axes:
        one.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes[-1].set_xlabel("optimiser step", parse_math=False)
    return figure, axes


def _look(place: int) -> dict[str, Any]:
    """Colour and dash of the task in that place of the manifest."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
    }


def _line(
    axes: Axes, points: Sequence[tuple[int, float]], place: int, task: str, **look: Any
) -> Any:
    """A task's line, which tells its name to a mouse; few points are each marked, so that a single
    one is seen.
    """
    few = {"marker": "o", "markersize": 4} if len(points) <= MARKED else {}
    (line,) = axes.plot(
        *zip(*points, strict=True), **{**_look(place), **few, **look}, gid=hover(named(task))
    )
    return line


def _legend(figure: Figure, handles: Handles) -> None:
    """Names beside the panels, where they hide no line, drawn as they are."""
    names = [f" {name}" if name.startswith("_") else name for _, name in handles]
    legend = figure.legend(
        [handle for handle, _ in handles], names, loc="outside right upper", borderaxespad=1.5
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _course(events: Sequence[dict[str, Any]], key: str, task: str) -> list[tuple[int, float]]:
    """The logged points of a task."""
    return [
        (event["step"], event[key][task]) for event in events if event[key].get(task) is not None
    ]


def _learning(result: RunResult) -> Figure | None:
    """Training loss above, each task's main validation metric below, with the best and the last
    checkpoint marked.
    """
    losses = {
        task: points for task in result.tasks if (points := _course(result.steps, "losses", task))
    }
    scores = _validation(result)
    if not losses and not scores:
        return None
    figure, axes = _canvas(2 if losses and scores else 1)
    lines: dict[str, Any] = {}
    for task, points in losses.items():
        lines[task] = _line(axes[0], points, result.tasks.index(task), task)
    if losses:
        axes[0].set_ylabel("training loss\n(mean since the last log)", parse_math=False)
    marks: Handles = []
    if scores:
        for task, (_, points) in scores.items():
            lines[task] = _line(axes[-1], points, result.tasks.index(task), task)
        marks = _mark(result, axes[-1], scores)
        metrics = {metric for metric, _ in scores.values()}
        axes[-1].set_ylabel(
            f"validation {named(metrics.pop())}" if len(metrics) == 1 else "validation score",
            parse_math=False,
        )
        if all(value >= 0 for _, points in scores.values() for _, value in points):
            axes[-1].set_ylim(bottom=0)
    axes[-1].set_xlim(left=0)
    different = len({metric for metric, _ in scores.values()}) > 1
    names = {
        task: (
            f"{named(task)}\n({named(scores[task][0])})"
            if different and task in scores
            else named(task)
        )
        for task in lines
    }
    _legend(figure, [*((line, names[task]) for task, line in lines.items()), *marks])
    return figure


def _validation(result: RunResult) -> dict[str, tuple[str, list[tuple[int, float]]]]:
    """Each task's metric (the one that chose the best checkpoint, else the main one) and its
    points.
    """
    found = {}
    for task in result.tasks:
        figures = [(event["step"], event["scores"].get(task, {})) for event in result.validations]
        names = dict.fromkeys(name for _, metrics in figures for name in metrics)
        choosing = selected(result, task)
        metric = choosing if choosing in names else main_metric_of(result, task, names)
        points = [
            (step, metrics[metric]) for step, metrics in figures if metrics.get(metric) is not None
        ]
        if metric is not None and points:
            found[task] = (metric, points)
    return found


def _mark(
    result: RunResult, axes: Axes, scores: dict[str, tuple[str, list[tuple[int, float]]]]
) -> Handles:
    """Mark each line with a star where the best checkpoint lies, and with a square where the last
    one does.
    """
    chooser, steps = result.manifest.eval.select, _checkpoints(result)
    handles: Handles = []
    names = {
        "best": (
            f"best, step {steps.get('best')}"
            + (f"\n(by {named(selection_in_words(chooser))})" if chooser else "")
        )
    }
    names["last"] = f"last, step {steps.get('last')}"
    for which in MARKS:
        if which not in steps:
            continue
        for task, (_, points) in scores.items():
            _spot(axes, which, steps[which], points, _look(result.tasks.index(task))["color"], task)
        axes.axvline(
            steps[which],
            color="#9A9A9A",
            linewidth=0.9,
            linestyle="--" if which == "best" else ":",
            zorder=1,
        )
        handles.append((_sample(which), names[which]))
    return handles


def _spot(
    axes: Axes, which: str, step: int, points: Sequence[tuple[int, float]], colour: str, name: str
) -> None:
    """A mark on a line where a checkpoint lies, which tells its figure to a mouse."""
    value = dict(points).get(step)
    if value is not None:
        face, edge = (colour, "black") if which == "best" else ("none", colour)
        told = hover(f"{named(name)}: {which} checkpoint, step {step}, {value:.4f}")
        axes.plot(
            [step], [value], markerfacecolor=face, markeredgecolor=edge, **MARKS[which], gid=told
        )


def _sample(which: str) -> Any:
    """The mark of a checkpoint for a legend."""
    from matplotlib.lines import Line2D

    face = "#9A9A9A" if which == "best" else "none"
    return Line2D(
        [], [], **{**MARKS[which], "markersize": 10}, markerfacecolor=face, markeredgecolor="black"
    )


def _courses(results: Sequence[RunResult]) -> tuple[Figure, list[str]] | None:
    """A panel for each task that several runs scored: its main figure at every evaluation, a line a
    run, best and last marked.
    """
    scored = {result.name: _validation(result) for result in results}
    tasks = dict.fromkeys(task for found in scored.values() for task in found)
    common = [task for task in tasks if sum(task in found for found in scored.values()) > 1]
    if not common:
        return None
    figure, panels = _canvas(len(common))
    lines: dict[str, Any] = {}
    for axes, task in zip(panels, common, strict=True):
        metrics: dict[str, None] = {}
        for place, result in enumerate(results):
            if task not in scored[result.name]:
                continue
            metric, points = scored[result.name][task]
            metrics[metric] = None
            lines.setdefault(result.name, _line(axes, points, place, f"{result.name}: {metric}"))
            for which, step in _checkpoints(result).items():
                _spot(axes, which, step, points, _look(place)["color"], result.name)
        axes.set_title(named(task), parse_math=False, loc="left")
        axes.set_ylabel(f"validation {named(' or '.join(metrics))}", parse_math=False)
        axes.set_xlim(left=0)
    figure.suptitle("Scores over checkpoints", parse_math=False, fontsize=13, x=0.01, ha="left")
    _legend(
        figure,
        [
            *((line, named(name)) for name, line in lines.items()),
            *((_sample(one), one) for one in MARKS),
        ],
    )
    return figure, common


def _checkpoints(result: RunResult) -> dict[str, int]:
    """The steps of the best and the last checkpoint; of an unfinished run, those of its evaluations
    so far.
    """
    found = {
        str(event["which"]): event["step"]
        for event in result.evaluations
        if event.get("by") == "train"
    }
    steps: dict[str, int] = {which: found[which] for which in ("best", "last") if which in found}
    if not steps and result.validations:
        better = [event["step"] for event in result.validations if event.get("best")]
        steps = {"last": result.validations[-1]["step"], **({"best": better[-1]} if better else {})}
    return steps


def _sampling(result: RunResult) -> Figure | None:
    """Examples that each task has had, as a line, beside what was to be expected, dotted."""
    if not result.steps:
        return None
    from matplotlib.lines import Line2D
    from matplotlib.ticker import StrMethodFormatter

    figure, (axes,) = _canvas(1)
    expectation, steps = expected_examples(result), [event["step"] for event in result.steps]
    handles: Handles = []
    for place, task in enumerate(result.tasks):
        points = [
            (0, 0.0),
            *((event["step"], event["counts"].get(task, 0)) for event in result.steps),
        ]
        # of lines that coincide every one is seen
        width = 2.2 + 1.5 * max(0, min(len(result.tasks), 4) - 1 - place)
        handles.append(
            (_line(axes, points, place, task, marker="", linewidth=width, alpha=0.6), named(task))
        )
        expected = [0.0, *(one[task] for one in expectation)]
        axes.plot(
            [0, *steps],
            expected,
            color=_look(place)["color"],
            linewidth=1.6,
            linestyle=EXPECTED,
            zorder=3,
        )
    sample = Line2D([], [], color="#333333", linewidth=1.6, linestyle=EXPECTED)
    handles.append(
        (sample, "expected" if exact(result) else "expected (from the\nprobabilities logged)")
    )
    axes.set_ylabel("examples trained on, cumulative", parse_math=False)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    _legend(figure, handles)
    return figure


def _weights(result: RunResult) -> Figure | None:
    """The weight of each task's loss by step; nothing where no weight changes."""
    courses = {
        task: points for task in result.tasks if (points := _course(result.steps, "weights", task))
    }
    if all(len({value for _, value in points}) == 1 for points in courses.values()):
        return None
    figure, (axes,) = _canvas(1)
    handles = [
        (_line(axes, points, result.tasks.index(task), task), named(task))
        for task, points in courses.items()
    ]
    axes.set_ylabel("weight of the task's loss", parse_math=False)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=min(0.0, *(value for points in courses.values() for _, value in points)))
    _legend(figure, handles)
    return figure

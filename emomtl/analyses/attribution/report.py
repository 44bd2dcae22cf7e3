"""Attributions of several runs: collected, as tables, as JSON and as a figure, without any text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.attribution.focus import FOCUS, OF_WORDS, POINTING, SHARE, focus_of, shares_of
from emomtl.analyses.attribution.gradients import TOLERANCE, Attributed
from emomtl.analyses.attribution.texts import Chosen
from emomtl.analyses.attribution.words import WordList
from emomtl.analyses.runs import LOOK_AT_TEST
from emomtl.contracts.analysis import Cell, Table
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.metrics.bootstrap import LEVEL, RESAMPLES, BootstrapEstimate
from emomtl.report.cells import DIFFERENCE_COLUMNS, difference_cells, estimate_cells, plain
from emomtl.report.drawing import COLOURS, drawing

if TYPE_CHECKING:
    from emomtl.analyses.attribution import AttributionAnalysis

COLUMNS = ("figure", "run", "value", "low", "high", "chance", *DIFFERENCE_COLUMNS)
NAMES = {
    SHARE: "share of attribution on emotion words",
    FOCUS: "focus: that share over the share of words",
    POINTING: "pointing game: the first word is an emotion word",
}
"""The numbers of the table, in words."""

PANELS = {SHARE: "share of attribution", FOCUS: "focus", POINTING: "pointing game"}


@dataclass(frozen=True)
class AttributedRun:
    """One run: its attributions, numbers made of them, and differences from the first run's."""

    name: str
    about: str
    attributed: Attributed
    values: Mapping[str, BootstrapEstimate]
    differences: Mapping[str, BootstrapEstimate]

    def completeness(self) -> dict[str, int | float]:
        """How far the attributions miss the difference of log-odds that they explain."""
        attributed = self.attributed
        return {
            "labels": len(attributed.text),
            "mean_difference": float(np.abs(attributed.differences).mean()),
            "mean_missed": float(np.abs(attributed.missed).mean()),
            "most_missed": float(np.abs(attributed.missed).max()),
            "median_steps": int(np.median(attributed.steps)),
            "incomplete": int(attributed.incomplete.sum()),
        }


@dataclass
class Attribution:
    """The attributions of all runs over the texts that the first run chose."""

    task: str
    options: AttributionAnalysis
    taxonomy: Taxonomy
    words: WordList
    chosen: Chosen
    runs: list[AttributedRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, about: str, attributed: Attributed) -> None:
        """Add a run, compared with the first one."""
        values = focus_of(shares_of(attributed, self.words), self.options.seed)
        reference = self.runs[0].values if self.runs else {}
        differences = {name: values[name].minus(other) for name, other in reference.items()}
        self.runs.append(AttributedRun(name, about, attributed, values, differences))

    def remarks(self) -> list[str]:
        """What was taken, and what the numbers do not say."""
        chosen, options = self.chosen, self.options
        lines = [
            (
                f"{len(chosen.labels):,} of the {chosen.able:,} {options.split} texts with an"
                f" emotion word and another word; {chosen.rows:,} have a label other than neutral."
            ),
            f"Emotion words: {len(self.words.words):,}, {self.words.source}.",
            (
                "Integrated gradients of the log-odds of each label that a text has, from a text"
                f" of {options.blank} tokens."
            ),
            (
                "Chance: attribution that takes no notice of what a word is. Intervals hold"
                f" {LEVEL:.0%} of {RESAMPLES:,} samples of the texts, the same for every run; they"
                " say nothing of other seeds."
            ),
        ]
        if options.split == "test":
            lines.append(LOOK_AT_TEST)
        for run in self.runs:
            if incomplete := int(run.attributed.incomplete.sum()):
                lines.append(
                    f"warning: {run.name}: {incomplete:,} attributions miss their sum by more than "
                    f"{TOLERANCE:.0%} of it (and more than {TOLERANCE} log-odds), with all steps"
                )
        return [*lines, *dict.fromkeys(self.notes)]


def tables(made: Attribution) -> list[Table]:
    """Numbers by run, differences from the first, and how complete the attributions are."""
    rows: list[tuple[Cell, ...]] = []
    for name, words in NAMES.items():
        for run in made.runs:
            value = run.values[name]
            difference = difference_cells(run.differences.get(name))
            rows.append((words, run.name, *estimate_cells(value), value.chance, *difference))
    title = f"Attribution on emotion words: {made.task}, {made.options.split}"
    completeness = tuple((run.name, run.about, *run.completeness().values()) for run in made.runs)
    columns = (
        *("run", "what it is", "labels", "mean difference", "mean missed", "most missed"),
        *("steps, median", "incomplete"),
    )
    note = (
        "difference: log-odds of the text less those of the blank one. missed: by how much"
        " attributions miss it, in log-odds."
    )
    return [
        Table(title, COLUMNS, tuple(rows), tuple(made.remarks())),
        Table("Completeness", columns, completeness, (note,)),
    ]


def as_json(made: Attribution) -> dict[str, Any]:
    """Every number in full."""
    return {
        "task": made.task,
        "split": made.options.split,
        "checkpoint": made.options.checkpoint,
        "rows": made.chosen.rows,
        "able": made.chosen.able,
        "texts": len(made.chosen.labels),
        "blank": made.options.blank,
        "words": {"source": made.words.source, "number": len(made.words.words)},
        "resamples": RESAMPLES,
        "seed": made.options.seed,
        "notes": made.remarks(),
        "runs": [_run(run) for run in made.runs],
    }


def _run(run: AttributedRun) -> dict[str, Any]:
    values: dict[str, dict[str, Any]] = {name: one.as_json() for name, one in run.values.items()}
    for name, difference in run.differences.items():
        if name != OF_WORDS:
            values[name]["difference"] = difference.as_json()
    about = {"run": run.name, "about": run.about}
    return {**about, "figures": values, "completeness": run.completeness()}


def figure(made: Attribution) -> Any:
    """A panel a number: a point with its interval a run, chance as a dashed line."""
    from matplotlib.figure import Figure

    names = [plain(run.name) for run in made.runs]
    with drawing():
        size = (4.2 * len(PANELS), 1.6 + 0.45 * len(names))
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.subplots(1, len(PANELS), sharey=True, squeeze=False)[0]
        for panel, (name, title) in zip(axes, PANELS.items(), strict=True):
            for place, run in enumerate(made.runs):
                number = run.values[name]
                value, interval, chance = number.value, number.interval, number.chance
                if value is None or interval is None or chance is None:
                    continue
                reach = [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
                colour = COLOURS[place % len(COLOURS)]
                panel.errorbar([value], [place], xerr=reach, fmt="o", capsize=4, color=colour)
                dashes = {"color": "0.4", "linestyle": "--", "linewidth": 1.2}
                panel.plot([chance, chance], [place - 0.4, place + 0.4], **dashes)
            panel.set_title(title)
            panel.set_xlim(left=0)
        axes[0].set_yticks(range(len(names)), names, parse_math=False)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].set_xlabel("dashed: chance")
        about = f"{plain(made.task)}, {made.options.split}, {len(made.chosen.labels):,} texts"
        title = f"Attribution on emotion words: {about}"
        drawn.suptitle(title, parse_math=False, x=0.01, ha="left")
        return drawn

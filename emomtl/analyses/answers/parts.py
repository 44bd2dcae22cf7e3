"""The parts of a report that are read from kept answers, each with a heading, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emomtl.analyses.answers.confusion import DRAWN, confusion, confusion_table, together, together_table
from emomtl.analyses.answers.kept import MANY, THRESHOLD, Kept, Level, kept_of
from emomtl.analyses.answers.labels import label_figures, label_table
from emomtl.analyses.answers.pictures import (
    confusion_picture,
    label_picture,
    numbers_picture,
    threshold_picture,
    together_picture,
)
from emomtl.analyses.answers.regressions import numbers_table
from emomtl.analyses.calibration.examine import examine, tables
from emomtl.analyses.calibration.pictures import reliability_figure
from emomtl.contracts.analysis import Picture, Table
from emomtl.report.collect import RunResult
from emomtl.report.drawing import file_name
from emomtl.report.parts import Part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUNS = 2
"""Runs whose answers are shown: a page with three tasks each is near its limit of 5 MB then (2.1 MB a run)."""
PICTURED = 12
"""Tasks, of all runs together, whose answers are drawn: 200 would make a page of 35 MB."""

Shown = tuple[Sequence[Table], Sequence[Picture]]


def answered(results: Sequence[RunResult], split: str, every: bool = False) -> list[Part]:
    """What the best checkpoints of these runs answered on a split, where it was kept; notes say where it was not.

    Of many tasks there are tables of all, and pictures of the first `PICTURED`, unless `every` picture is wanted.
    """
    found, notes = kept_of(results[:RUNS], split)
    if len(found) > PICTURED and not every:
        found = [replace(kept, drawn=place < PICTURED) for place, kept in enumerate(found)]
        notes.append(f"pictures are of the first {PICTURED} tasks of {len(found)}: `--figures FOLDER` draws those of all")
    if len(results) > RUNS:
        notes.append(f"answers are shown of the first {RUNS} runs of {len(results)}: name fewer for those of others")
    makers: list[tuple[str, str, Callable[[Kept], Iterator[Shown]]]] = [
        ("F1 by label", "Labels with few rows are hardly measured: look at the intervals.", _labels),
        ("Confusion", CONFUSION, _confusion),
        ("Labels that occur together", "What the texts have, and what the answers make of it.", _together),
        ("Thresholds and calibration", CALIBRATION, _calibration),
        ("Numbers", "Answers against targets, and what is left.", _numbers),
    ]
    parts = []
    for title, about, make in makers:
        made = [shown for kept in found for shown in make(kept)]
        shown = (tuple(one for part in made for one in part[0]), tuple(one for part in made for one in part[1]))
        if shown[0]:
            parts.append(Part(title, about, *shown, aside=make in (_labels, _confusion, _together)))
    if notes:
        missing = Table("Answers that are not shown", ("what",), (), tuple(notes))
        parts.append(Part("Answers that are not shown", "", (missing,), ()))
    return parts


CONFUSION = (
    "Each row holds the texts that have its label. Of tasks with several labels a text the diagonal is what was found; elsewhere "
    f"the label was missed and the column's, which is wrong, answered (from a probability of {THRESHOLD} on)."
)
CALIBRATION = (
    "Thresholds are tuned on validation; their gain there is partly luck, and the cross-fitted figure is without it. "
    "Reliability: of answers said with a probability, the share that is true."
)


def _picture(kept: Kept, level: Level | None, title: str, kind: str, figure: Figure) -> Picture:
    of, file = (kept.named(level), kept.levelled(level)) if level is not None else (kept.task, kept.task)
    return Picture(f"{title}: {of} on {kept.where}", file_name(kept.number, kept.run, file, kind, kept.split), figure)


def _labels(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels():
        figures = label_figures(level)
        drawn = []
        if kept.drawn and len(level.names) <= DRAWN:
            drawn.append(_picture(kept, level, "F1 by label", "labels", label_picture(kept, level, figures)))
        yield [label_table(kept, level, figures)], drawn


def _confusion(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels():
        drawn = []
        if kept.drawn and len(level.names) <= DRAWN:
            drawn.append(_picture(kept, level, "Confusion", "confusion", confusion_picture(kept, level, confusion(level))))
        yield [confusion_table(kept, level)], drawn


def _together(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels()[:1]:
        if level.exclusive:
            continue
        found = together(level.most(MANY) if len(level.names) > MANY else level)
        if found is not None:
            title = "Labels that occur together"
            drawn = []
            if kept.drawn and len(level.names) <= DRAWN:
                drawn.append(_picture(kept, level, title, "together", together_picture(kept, level, found)))
            yield [together_table(kept, level, found)], drawn


def _calibration(kept: Kept) -> Iterator[Shown]:
    if kept.head.answers != "labels" or kept.validation is None:
        return
    level = kept.levels()[0]
    if len(level.names) > MANY:
        said = f"left out of more than {MANY} labels, as a threshold is sought for each: `emomtl analyse calibration RUN` does it"
        yield [Table(f"{kept.task} ({kept.run}): thresholds and calibration", ("what",), (), (said,))], []
        return
    splits = {"validation": kept.validation, kept.split: kept.answers}
    examined = examine(
        f"{kept.task} ({kept.run})",
        kept.head,
        kept.taxonomy,
        {split: (one.targets, one.probabilities) for split, one in splits.items()},
    )
    drawn = []
    if kept.drawn and not level.exclusive:
        drawn.append(_picture(kept, None, "F1 over the threshold", "thresholds", threshold_picture(kept, level)))
    if kept.drawn:
        drawn.append(_picture(kept, None, "Reliability", "reliability", reliability_figure(examined)))
    yield tables([examined]), drawn


def _numbers(kept: Kept) -> Iterator[Shown]:
    if kept.head.answers == "numbers":
        pictures = [numbers_picture(kept)] if kept.drawn else []
        yield [numbers_table(kept)], [_picture(kept, None, "Answers against targets", "numbers", one) for one in pictures]

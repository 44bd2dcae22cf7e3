"""The parts of a report that are read from kept predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emomtl.analyses.answers.confusion import (
    DRAWN,
    confusion,
    confusion_table,
    together,
    together_table,
)
from emomtl.analyses.answers.kept import MANY, THRESHOLD, Kept, Level, kept_of
from emomtl.analyses.answers.labels import f1_by_label, label_table
from emomtl.analyses.answers.pictures import (
    confusion_picture,
    label_picture,
    numbers_picture,
    threshold_picture,
    together_picture,
)
from emomtl.analyses.answers.regressions import numbers_table
from emomtl.analyses.calibration.examine import examine, tables
from emomtl.analyses.calibration.reliability import reliability_figure
from emomtl.contracts.analysis import Picture, Table
from emomtl.report.collect import RunResult
from emomtl.report.drawing import file_name
from emomtl.report.parts import Part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUNS = 2
"""Runs that are shown: with three tasks each a page is near its limit of 5 MB (2.1 MB a run)."""

PICTURED = 12
"""Tasks, of all runs together, that are drawn: 200 would make a page of 35 MB."""

CONFUSION = (
    "Each row holds the texts that have its label. Of tasks with several labels a text the "
    "diagonal is what was found; elsewhere the label was missed and the column's, which is wrong, "
    f"answered (from a probability of {THRESHOLD} on)."
)
CALIBRATION = (
    "Thresholds are tuned on validation; their gain there is partly luck, and the cross-fitted"
    " metric is without it. Reliability: of answers given with a probability, the share that is"
    " true."
)

Shown = tuple[Sequence[Table], Sequence[Picture]]


def answered(results: Sequence[RunResult], split: str, every: bool = False) -> list[Part]:
    """What the best checkpoints of these runs predicted on a split, where it was kept.

    Of many tasks there are tables of all, and pictures of the first `PICTURED`, unless `every`
    picture is wanted.
    """
    kept, notes = kept_of(results[:RUNS], split)
    if len(kept) > PICTURED and not every:
        kept = [replace(one, drawn=place < PICTURED) for place, one in enumerate(kept)]
        notes.append(
            f"pictures are of the first {PICTURED} tasks of {len(kept)}: "
            "`--figures FOLDER` draws those of all"
        )
    if len(results) > RUNS:
        notes.append(
            f"answers are shown of the first {RUNS} runs of {len(results)}: "
            "name fewer for those of others"
        )
    makers: list[tuple[str, str, Callable[[Kept], Iterator[Shown]], bool]] = [
        (
            "F1 by label",
            "Labels with few rows are hardly measured: see the intervals.",
            _labels,
            True,
        ),
        ("Confusion", CONFUSION, _confusion, True),
        ("Labels that occur together", "In the texts, and in what is predicted.", _together, True),
        ("Thresholds and calibration", CALIBRATION, _calibration, False),
        ("Numbers", "Answers against targets, and what is left.", _numbers, False),
    ]
    parts = []
    for title, about, make, aside in makers:
        made = [shown for one in kept for shown in make(one)]
        all_tables = tuple(table for some, _ in made for table in some)
        pictures = tuple(picture for _, some in made for picture in some)
        if all_tables:
            parts.append(Part(title, about, all_tables, pictures, aside))
    if notes:
        title = "Answers that are not shown"
        parts.append(Part(title, "", (Table(title, ("what",), (), tuple(notes)),), ()))
    return parts


def _picture(kept: Kept, level: Level | None, title: str, kind: str, figure: Figure) -> Picture:
    task = kept.named(level) if level is not None else kept.task
    in_file = kept.named(level, "-by-") if level is not None else kept.task
    name = file_name(kept.number, kept.run, in_file, kind, kept.split)
    return Picture(f"{title}: {task} on {kept.where}", name, figure)


def _is_drawn(kept: Kept, level: Level) -> bool:
    return kept.drawn and len(level.names) <= DRAWN


def _labels(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels():
        labels, pictures = f1_by_label(level), []
        if _is_drawn(kept, level):
            figure = label_picture(kept, level, labels)
            pictures.append(_picture(kept, level, "F1 by label", "labels", figure))
        yield [label_table(kept, level, labels)], pictures


def _confusion(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels():
        pictures = []
        if _is_drawn(kept, level):
            figure = confusion_picture(kept, level, confusion(level))
            pictures.append(_picture(kept, level, "Confusion", "confusion", figure))
        yield [confusion_table(kept, level)], pictures


def _together(kept: Kept) -> Iterator[Shown]:
    for level in kept.levels()[:1]:
        if level.exclusive:
            continue
        found = together(level.most(MANY) if len(level.names) > MANY else level)
        if found is not None:
            pictures = []
            if _is_drawn(kept, level):
                figure = together_picture(kept, level, found)
                title = "Labels that occur together"
                pictures.append(_picture(kept, level, title, "together", figure))
            yield [together_table(kept, level, found)], pictures


def _calibration(kept: Kept) -> Iterator[Shown]:
    if kept.head.answers != "labels" or kept.validation is None:
        return
    level, name = kept.levels()[0], f"{kept.task} ({kept.run})"
    if len(level.names) > MANY:
        note = (
            f"left out of more than {MANY} labels, as a threshold is sought for each: "
            "`emomtl analyse calibration RUN` does it"
        )
        yield [Table(f"{name}: thresholds and calibration", ("what",), (), (note,))], []
        return
    predicted = {}
    for split, one in (("validation", kept.validation), (kept.split, kept.answers)):
        predicted[split] = (one.targets, one.probabilities)
    examined = examine(name, kept.head, kept.taxonomy, predicted)
    pictures = []
    if kept.drawn and not level.exclusive:
        figure = threshold_picture(kept, level)
        pictures.append(_picture(kept, None, "F1 over the threshold", "thresholds", figure))
    if kept.drawn:
        figure = reliability_figure(name, examined.rows, examined.reliabilities)
        pictures.append(_picture(kept, None, "Reliability", "reliability", figure))
    yield tables([examined]), pictures


def _numbers(kept: Kept) -> Iterator[Shown]:
    if kept.head.answers == "numbers":
        pictures = []
        if kept.drawn:
            figure = numbers_picture(kept)
            pictures.append(_picture(kept, None, "Answers against targets", "numbers", figure))
        yield [numbers_table(kept)], pictures

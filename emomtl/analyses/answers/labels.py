"""F1 of each label with its support and an interval over rows; labels with a handful of rows are pointed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl.analyses.answers.kept import MANY, Kept, Level
from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import MOST_UNDEFINED, RESAMPLES, bootstrap_label_f1, percentile_interval
from emomtl.metrics.tuning.thresholds import mean_f1

if TYPE_CHECKING:
    pass

RARE = 30
"""Rows below which a label's figure is hardly measured."""


@dataclass(frozen=True)
class LabelFigure:
    """A label's F1 (None where it has neither a positive nor an answer) with its 95% interval over rows."""

    name: str
    group: str
    support: int
    answered: int
    f1: float | None
    low: float | None
    high: float | None

    @property
    def rare(self) -> bool:
        """Whether so few rows have the label that its figure is hardly measured."""
        return self.support < RARE


def label_figures(level: Level) -> list[LabelFigure]:
    """Each label's figure, and that of their mean last (`macro`); intervals are percentiles of the bootstrap over rows.

    Percentiles, as F1 of a rare label is skewed and stays within 0 and 1. Samples in which a label has neither a positive nor
    an answer are left out for it; with more than `MOST_UNDEFINED` of them it has no interval.
    Of more than `MANY` labels there are no intervals.
    """
    import numpy as np

    truth, decided, _ = level.flags()
    flags = (truth.astype(np.float32), decided.astype(np.float32))
    value_by_label, draws = bootstrap_label_f1(*flags, RESAMPLES if len(level.names) <= MANY else 0)
    both = [np.column_stack([one, mean_f1(one)]) for one in (value_by_label[None], draws)]
    names = (*level.names, "macro")
    found = []
    for place, name in enumerate(names):
        value, course = float(both[0][0, place]), both[1][:, place]
        interval = None if np.isnan(value) else percentile_interval(course)
        low, high = interval or (None, None)
        last = name == "macro" and place == len(level.names)
        group = "" if last else level.groups[place]
        support, answered = (int(one.sum()) if last else int(one[:, place].sum()) for one in (truth, decided))
        found.append(LabelFigure(name, group, support, answered, None if np.isnan(value) else value, low, high))
    return found


def label_table(kept: Kept, level: Level, figures: Sequence[LabelFigure]) -> Table:
    """The figures as a table, with a warning that names the rare labels."""
    grouped = any(level.groups)
    rows: list[tuple[Cell, ...]] = []
    for one in figures:
        group: list[Cell] = [one.group] if grouped else []
        rows.append((one.name, *group, one.support, one.answered, one.f1, one.low, one.high))
    columns = ("label", *(["group"] if grouped else []), "support", "answered", "f1", "95% low", "95% high")
    notes = [f"intervals: percentiles of {RESAMPLES:,} bootstrap samples of the rows; another seed of training is not in them"]
    if len(figures) - 1 > MANY:
        notes = [f"intervals are left out of more than {MANY} labels"]
    elif any(one.low is None for one in figures):
        notes.append(
            f"a label without an interval is undefined in more than {MOST_UNDEFINED:.0%} of the samples: "
            "they neither have it nor answer it"
        )
    few = [f"{one.name} ({one.support})" for one in figures[:-1] if one.rare]
    if few:
        notes.append(WarningNote(f"{kept.named(level)}: fewer than {RARE} rows of {kept.split} have {', '.join(few)}"))
    return Table(f"F1 by label: {kept.named(level)} on {kept.where}", columns, tuple(rows), tuple(notes))

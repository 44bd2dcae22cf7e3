"""F1 of each label with its support and an interval over rows; labels with few rows are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emomtl.analyses.answers.kept import MANY, Kept, Level
from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import (
    MOST_UNDEFINED,
    RESAMPLES,
    bootstrap_label_f1,
    percentile_interval,
)
from emomtl.metrics.tuning.thresholds import mean_f1

RARE = 30
"""Rows below which a label's F1 is hardly measured."""


@dataclass(frozen=True)
class LabelF1:
    """A label's F1 with its 95% interval over rows; None where no row has or is given the label."""

    name: str
    group: str
    support: int
    predicted: int
    f1: float | None
    low: float | None
    high: float | None

    @property
    def rare(self) -> bool:
        """Whether so few rows have the label that its F1 is hardly measured."""
        return self.support < RARE


def f1_by_label(level: Level) -> list[LabelF1]:
    """The F1 of each label, and their mean last (`macro`).

    Intervals are percentiles of the bootstrap over rows, as the F1 of a rare label is skewed and
    stays within 0 and 1. Samples in which a label is undefined are left out for it; with more than
    `MOST_UNDEFINED` of them it has no interval. Of more than `MANY` labels there are no intervals.
    """
    truth, decided, _ = level.flags()
    number = RESAMPLES if len(level.names) <= MANY else 0
    flags = (truth.astype(np.float32), decided.astype(np.float32))
    value_by_label, draws = bootstrap_label_f1(*flags, number)
    values = np.append(value_by_label, mean_f1(value_by_label[None])[0])
    draws = np.column_stack([draws, mean_f1(draws)])
    supports = [*truth.sum(axis=0).tolist(), int(truth.sum())]
    predicted = [*decided.sum(axis=0).tolist(), int(decided.sum())]
    rows = []
    for place, name in enumerate((*level.names, "macro")):
        group = (*level.groups, "")[place]
        counts = (supports[place], predicted[place])
        if np.isnan(values[place]):
            rows.append(LabelF1(name, group, *counts, None, None, None))
            continue
        low, high = percentile_interval(draws[:, place]) or (None, None)
        rows.append(LabelF1(name, group, *counts, float(values[place]), low, high))
    return rows


def label_table(kept: Kept, level: Level, labels: Sequence[LabelF1]) -> Table:
    """The F1 of each label as a table, with a warning that names the rare labels."""
    grouped = any(level.groups)
    rows: list[tuple[Cell, ...]] = []
    for one in labels:
        group = (one.group,) if grouped else ()
        rows.append((one.name, *group, one.support, one.predicted, one.f1, one.low, one.high))
    notes = [
        f"intervals: percentiles of {RESAMPLES:,} bootstrap samples of the rows; "
        "another seed of training is not in them"
    ]
    if len(labels) - 1 > MANY:
        notes = [f"intervals are left out of more than {MANY} labels"]
    elif any(one.low is None for one in labels):
        notes.append(
            f"a label without an interval is undefined in more than {MOST_UNDEFINED:.0%} of the "
            "samples: they neither have it nor answer it"
        )
    if few := [f"{one.name} ({one.support})" for one in labels[:-1] if one.rare]:
        rare = f"fewer than {RARE} rows of {kept.split} have {', '.join(few)}"
        notes.append(WarningNote(f"{kept.named(level)}: {rare}"))
    columns = ("label", *(["group"] if grouped else []), "support", "answered")
    title = f"F1 by label: {kept.named(level)} on {kept.where}"
    return Table(title, (*columns, "f1", "95% low", "95% high"), tuple(rows), tuple(notes))

"""Predictions that are numbers: how far they are from the targets, and in which direction."""

from __future__ import annotations

import numpy as np

from emomtl.analyses.answers.kept import Kept
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import (
    MOST_UNDEFINED,
    RESAMPLES,
    over_samples,
    percentile_interval,
    sample_rows,
)
from emomtl.metrics.predictions import HeadMetric

COLUMNS = (
    *("dimension", "rows", "pearson_r", "r 95% low", "r 95% high"),
    *("rmse", "rmse 95% low", "rmse 95% high", "mean residual", "sd of residuals"),
)


def numbers_table(kept: Kept) -> Table:
    """Pearson's r and RMSE of each dimension with intervals over rows, and its residuals."""
    rows: list[tuple[Cell, ...]] = []
    undefined: list[str] = []
    names = kept.head.outputs(kept.taxonomy)
    samples = sample_rows(len(kept.answers))
    for place, name in enumerate(names):
        known = ~np.isnan(kept.answers.targets[:, place])
        residuals = kept.answers.probabilities[known, place] - kept.answers.targets[known, place]
        suffix = f"_{name}" if len(names) > 1 else ""
        cells: list[Cell] = []
        for metric in (f"pearson_r{suffix}", f"rmse{suffix}"):
            measure = HeadMetric(kept.head, metric)
            value = measure(kept.answers)
            interval = percentile_interval(over_samples(measure, kept.answers, samples))
            if interval is None:
                undefined.append(metric)
            cells += [None if np.isnan(value) else value, *(interval or (None, None))]
        spread: tuple[Cell, Cell] = (None, None)
        if len(residuals) > 1:
            spread = (float(residuals.mean()), float(residuals.std(ddof=1)))
        rows.append((name, int(known.sum()), *cells, *spread))
    notes = [
        "residual: answer less target; intervals: percentiles of "
        f"{RESAMPLES:,} bootstrap samples of the rows"
    ]
    if undefined:
        share = f"more than {MOST_UNDEFINED:.0%} of the samples"
        notes.append(f"{', '.join(undefined)}: no interval, undefined in {share}")
    return Table(f"Numbers: {kept.task} on {kept.where}", COLUMNS, tuple(rows), tuple(notes))

"""Answers that are numbers: how far they are from the targets, and in which direction."""

from __future__ import annotations

from emomtl.analyses.answers.kept import Kept
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import MOST_UNDEFINED, RESAMPLES, over_samples, percentile_interval, sample_rows
from emomtl.metrics.predictions import metric_function


def numbers_table(kept: Kept) -> Table:
    """For each dimension Pearson's r and RMSE with intervals over rows, and the mean and the spread of the residuals."""
    import numpy as np

    rows: list[tuple[Cell, ...]] = []
    without: list[str] = []
    names = kept.head.outputs(kept.taxonomy)
    samples = sample_rows(len(kept.answers))
    for place, name in enumerate(names):
        known = ~np.isnan(kept.answers.targets[:, place])
        residuals = kept.answers.probabilities[known, place] - kept.answers.targets[known, place]
        suffix = f"_{name}" if len(names) > 1 else ""
        cells: list[Cell] = []
        for figure in (f"pearson_r{suffix}", f"rmse{suffix}"):
            measure = metric_function(kept.head, figure)
            interval = percentile_interval(over_samples(measure, kept.answers, samples))
            if interval is None:
                without.append(figure)
            value = measure(kept.answers)
            cells += [None if np.isnan(value) else value, *(interval or (None, None))]
        spread = (float(residuals.mean()), float(residuals.std(ddof=1))) if len(residuals) > 1 else (None, None)
        rows.append((name, int(known.sum()), *cells, *spread))
    columns = (
        *("dimension", "rows", "pearson_r", "r 95% low", "r 95% high", "rmse", "rmse 95% low", "rmse 95% high"),
        *("mean residual", "sd of residuals"),
    )
    notes = [f"residual: answer less target; intervals: percentiles of {RESAMPLES:,} bootstrap samples of the rows"]
    if without:
        share = f"more than {MOST_UNDEFINED:.0%} of the samples"
        notes.append(f"{', '.join(without)}: no interval, undefined in {share}")
    return Table(f"Numbers: {kept.task} on {kept.where}", columns, tuple(rows), tuple(notes))

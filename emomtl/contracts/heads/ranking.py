"""Metrics of an order of rows: average precision and the area under the ROC curve, with ties, in O(n log n) a label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANKED = ("average_precision", "auroc")

Column = tuple["NDArray[Any]", "NDArray[Any]"]
"""Of one label the rows where it is known: whether they have it (n,), and its probability there (n,)."""


def ranked(truth: NDArray[Any], scores: NDArray[Any]) -> tuple[float | None, float | None]:
    """Average precision and AUROC of one label; None where they are undefined.

    Average precision is sum_k (R_k - R_{k-1}) P_k over the distinct thresholds, as in scikit-learn, with recall R and
    precision P; it needs a row that has the label. AUROC is the probability that a row that has the label is ranked above one
    that has it not, ties counting half (Hanley and McNeil, 1982); it needs both kinds of rows.
    """
    import numpy as np

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives:
        return None, None
    order = np.argsort(-scores)
    ordered = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(truth[order])[last_of_ties].astype(np.float64)  # rows that have the label, at or above the threshold
    misses = last_of_ties + 1 - hits
    new_hits, new_misses = np.diff(hits, prepend=0.0), np.diff(misses, prepend=0.0)
    precision = hits / (hits + misses)
    average_precision = float((new_hits * precision).sum() / positives)
    if not negatives:
        return average_precision, None
    above = hits - new_hits / 2  # those that tie with a negative count half
    return average_precision, float((new_misses * above).sum() / (positives * negatives))


def macro_ranked(columns: Iterable[Column]) -> dict[str, float | None]:
    """The means over labels of both metrics, over the labels in which each is defined."""
    each = [ranked(truth, scores) for truth, scores in columns]
    found: dict[str, float | None] = {}
    for place, name in enumerate(RANKED):
        known = [value for one in each if (value := one[place]) is not None]
        found[f"macro_{name}"] = sum(known) / len(known) if known else None
    return found

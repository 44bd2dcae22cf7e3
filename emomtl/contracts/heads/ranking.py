"""Metrics of the order of rows: average precision and the area under the ROC curve, with ties."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads.declaration import Metrics

RANKED = ("average_precision", "auroc")

Column = tuple["NDArray[Any]", "NDArray[Any]"]
"""Of one label, the rows where it is known: whether they have it (n,), and its probability (n,)."""


def ranked(truth: NDArray[Any], scores: NDArray[Any]) -> tuple[float | None, float | None]:
    """Average precision and AUROC of one label, in O(n log n); None where they are undefined.

    Average precision, as in scikit-learn, needs a row that has the label. AUROC is the probability
    that a row that has the label is ranked above one that does not, ties counting half (Hanley and
    McNeil, 1982); it needs both kinds of rows.
    """
    import numpy as np

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives:
        return None, None
    order = np.argsort(-scores)
    ordered = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    # rows with and without the label at or above each distinct threshold
    hits = np.cumsum(truth[order])[last_of_ties].astype(np.float64)
    misses = last_of_ties + 1 - hits
    new_hits, new_misses = np.diff(hits, prepend=0.0), np.diff(misses, prepend=0.0)
    # AP = sum_k (R_k - R_{k-1}) P_k over the thresholds, with recall R = hits / positives
    precision = hits / (hits + misses)
    average_precision = float((new_hits * precision).sum() / positives)
    if not negatives:
        return average_precision, None
    hits_above = hits - new_hits / 2  # those that tie with a negative count half
    return average_precision, float((new_misses * hits_above).sum() / (positives * negatives))


def macro_ranked(columns: Iterable[Column]) -> Metrics:
    """The means of both metrics over the labels for which they are defined."""
    by_label = [ranked(truth, scores) for truth, scores in columns]
    means = {}
    for position, name in enumerate(RANKED):
        means[f"macro_{name}"] = mean_of_defined(both[position] for both in by_label)
    return means


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None where there are none."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None

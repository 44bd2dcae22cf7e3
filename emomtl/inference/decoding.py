"""Probabilities as labels, at the task's labels and at coarser groupings; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emomtl.metrics.tuning import decided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy


def decoded(
    head: Head,
    taxonomy: Taxonomy | None,
    probabilities: NDArray[Any],
    thresholds: Sequence[float] | None,
) -> list[dict[str, Any]]:
    """A task's predictions from its probabilities (n, L), with those at its groupings.

    With thresholds a coarse name is predicted where one of its members is.
    """
    decisions = None if thresholds is None else decided(probabilities, thresholds)
    predictions = _level(head, head.outputs(taxonomy), probabilities, decisions)
    if taxonomy is None:
        return predictions
    import numpy as np

    # `fold` takes targets too, and there are none.
    no_targets = np.asarray([head.encode(None, taxonomy)] * len(probabilities))
    for grouping in taxonomy.groupings:
        _, coarse = head.fold(no_targets, probabilities, grouping, taxonomy)
        coarse_decisions = None
        if decisions is not None:
            _, coarse_decisions = head.fold(no_targets, decisions, grouping, taxonomy)
        levels = _level(head, grouping.names, coarse, coarse_decisions)
        for prediction, level in zip(predictions, levels, strict=True):
            prediction.setdefault("groupings", {})[grouping.name] = level
    return predictions


def _level(
    head: Head, names: Sequence[str], probabilities: NDArray[Any], decisions: NDArray[Any] | None
) -> list[dict[str, Any]]:
    """Predictions at one level: the labels themselves, or those of one grouping."""
    by_name = [dict(zip(names, row, strict=True)) for row in probabilities.tolist()]
    if head.answers == "numbers":
        return [{"values": values} for values in by_name]
    labels: list[list[str]] = []
    if decisions is None:
        for chosen in head.decode(probabilities, names):
            labels.append([name for name, _ in chosen])
    else:
        best_first = (-probabilities).argsort(axis=1, kind="stable")
        for order, holds in zip(best_first, decisions, strict=True):
            labels.append([names[i] for i in order if holds[i]])
    rows = zip(labels, by_name, strict=True)
    return [{"labels": chosen, "probabilities": values} for chosen, values in rows]

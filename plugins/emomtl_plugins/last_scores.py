"""The last validation score of a task, for what goes by it."""

from __future__ import annotations

import math

from emomtl import EmomtlError, Moment

DEFAULT_METRICS = ("macro_f1", "pearson_r")
"""The first of these that a task is scored by, where the manifest names none; both grow up to 1."""


def last_score(moment: Moment, task: str, named: str | None, place: str) -> float | None:
    """The score by the metric that is `named`, or the first of `DEFAULT_METRICS`; None where it is undefined or not there yet.

    `EmomtlError` at `place` where a task that is scored has no such metric.
    """
    scores = moment.scores.get(task, {})
    if named is not None and scores and named not in scores:
        found = f"the task {task!r} is not scored by {named!r}"
        raise EmomtlError(found, place=place, remedy=f"known: {', '.join(scores)}")
    names = DEFAULT_METRICS if named is None else (named,)
    score = next((scores[name] for name in names if name in scores), None)
    return score if score is not None and math.isfinite(score) else None

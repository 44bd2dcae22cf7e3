"""The last validation score of a task, for samplers and weightings that go by it."""

from __future__ import annotations

import math

from emomtl import EmomtlError, Moment

DEFAULT_METRICS = ("macro_f1", "pearson_r")
"""Where the manifest names no metric, the first of these that the task has. Both are at most 1."""


def last_score(moment: Moment, task: str, metric: str | None, place: str) -> float | None:
    """The last score of a task by `metric`, or by the first of `DEFAULT_METRICS`.

    None before the first evaluation, and where the score is undefined. `EmomtlError` at `place`
    where the task has scores, but none by this metric.
    """
    scores = moment.scores.get(task, {})
    if metric is not None and scores and metric not in scores:
        problem = f"the task {task!r} is not scored by {metric!r}"
        raise EmomtlError(problem, place=place, remedy=f"known: {', '.join(scores)}")
    metrics = DEFAULT_METRICS if metric is None else (metric,)
    score = next((scores[name] for name in metrics if name in scores), None)
    return score if score is not None and math.isfinite(score) else None

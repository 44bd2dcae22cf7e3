"""Many measurements in a few numbers: means with their spread over steps, and auxiliaries in the
order of their help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.affinity.course import Affinity
from emomtl.metrics.intervals import MeanInterval, mean_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Auxiliary:
    """What one task does for the target: Z_{task->target}, the gradient cosine, and the similarity
    of gradient lengths.
    """

    task: str
    lookahead: MeanInterval
    cosine: MeanInterval
    magnitude: MeanInterval


def stacked(found: Affinity) -> dict[str, Any]:
    """Measurements as arrays: `lookahead` and `magnitude` (S, T, T), and `cosine` by group of
    parameters (S, T, T) each.
    """
    groups = list(found.measurements[0].cosines)
    return {
        "lookahead": np.stack([one.lookahead for one in found.measurements]),
        "magnitude": np.stack([one.magnitudes for one in found.measurements]),
        "cosine": {
            group: np.stack([one.cosines[group] for one in found.measurements]) for group in groups
        },
    }


def ranking(found: Affinity, target: str) -> list[Auxiliary]:
    """All other tasks by their mean Z_{task->target}, the largest first; undefined ones last."""
    from emomtl.analyses.affinity.probe import WHOLE

    arrays, there = stacked(found), found.tasks.index(target)
    auxiliaries = [
        Auxiliary(
            task,
            mean_interval(arrays["lookahead"][:, here, there]),
            mean_interval(arrays["cosine"][WHOLE][:, here, there]),
            mean_interval(arrays["magnitude"][:, here, there]),
        )
        for here, task in enumerate(found.tasks)
        if task != target
    ]
    return sorted(
        auxiliaries,
        key=lambda one: -(one.lookahead.mean if one.lookahead.mean is not None else -math.inf),
    )


def as_json(found: Affinity, target: str) -> dict[str, Any]:
    """Every figure by the names of its two tasks, and the ranking for a target.

    `lookahead[i][j]` is what a step on i does to j; the other matrices are symmetric. What a task
    does to itself is left out.
    """
    arrays = stacked(found)
    return {
        "tasks": list(found.tasks),
        "target": target,
        "steps": list(found.steps),
        "rate": found.rate,
        "ranking": [
            {
                "auxiliary": one.task,
                "lookahead": one.lookahead.as_json(),
                "cosine": one.cosine.as_json(),
                "magnitude": one.magnitude.as_json(),
            }
            for one in ranking(found, target)
        ],
        "lookahead": _named(found, arrays["lookahead"]),
        "magnitude": _named(found, arrays["magnitude"]),
        "cosine": {group: _named(found, one) for group, one in arrays["cosine"].items()},
    }


def _named(found: Affinity, values: NDArray[np.float64]) -> Mapping[str, Mapping[str, Any]]:
    return {
        one: {
            other: mean_interval(values[:, i, j]).as_json()
            for j, other in enumerate(found.tasks)
            if i != j
        }
        for i, one in enumerate(found.tasks)
    }

"""The sampler `by-need`: a task that is done badly is drawn more often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from emomtl import Moment, Sampler, hookimpl

LEAST = 0.05
"""No task's need falls below this: one that is solved is still rehearsed."""


@dataclass(frozen=True)
class ByNeed(Sampler):
    """p_t ∝ max(1 − score_t, 0.05) ^ sharpness, with the last validation score; a task without one counts as 0.

    `metric` is the score that says how well a task is done; `sharpness` = 0 draws all tasks alike.
    """

    metric: str = "macro_f1"
    sharpness: Annotated[float, Ge(0)] = 1.0

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """All alike before the first evaluation, by need after it."""
        scores = {task: moment.scores.get(task, {}).get(self.metric, 0.0) for task in moment.tasks}
        needs = {task: max(1 - score, LEAST) ** self.sharpness for task, score in scores.items()}
        total = sum(needs.values())
        return {task: need / total for task, need in needs.items()}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `by-need`."""
    return {"by-need": ByNeed}

"""`equal` and `static`: weights that never change, all 1 or given in the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from emomtl import EmomtlError, Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.task_names import unknown_tasks
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Equal(Weighting):
    """L = sum_t L_t: the plain sum, every weight 1.

    It is not the mean, so adding a task does not change the gradients of the others.
    """

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_sum(losses, dict.fromkeys(losses, 1.0))


@dataclass(frozen=True)
class Static(Weighting):
    """L = sum_t w_t L_t with the numbers w_t >= 0 of the manifest.

    `weights` are the w_t by task; a task that is not named has 1. They multiply the `weight` of a
    task's own table.
    """

    weights: Mapping[str, Annotated[float, Ge(0), Le(1e30)]]

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        problems = unknown_tasks(self.weights, tasks)
        for task, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                problems.append(f"{task!r} has the weight {weight}")
        if problems:
            remedy = "name tasks of the run, each with a finite number >= 0"
            raise EmomtlError(*problems, place="weighting.weights", remedy=remedy)

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_sum(losses, {task: self.weights.get(task, 1.0) for task in losses})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"equal": Equal, "static": Static}

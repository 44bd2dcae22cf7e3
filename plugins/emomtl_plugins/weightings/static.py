"""Weights that never change: all equal, or given in the manifest."""

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
    """L = sum_t L_t: the plain sum, every weight 1 (not the mean: one more task leaves the others' gradients alone)."""

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses, and a 1 for each."""
        return weighted_sum(losses, dict.fromkeys(losses, 1.0))


@dataclass(frozen=True)
class Static(Weighting):
    """L = sum_t w_t L_t with the numbers w_t >= 0 of the manifest.

    `weights` are the w_t by task; a task that is not named has 1. They multiply the `weight` of a task's own table.
    """

    weights: Mapping[str, Annotated[float, Ge(0), Le(1e30)]]

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where a name is unknown, or a weight is negative or not finite."""
        found = unknown_tasks(self.weights, tasks)
        found += [f"{task!r} has the weight {weight}" for task, weight in self.weights.items() if not 0 <= weight < math.inf]
        if found:
            raise EmomtlError(*found, place="weighting.weights", remedy="name tasks of the run, each with a finite number >= 0")

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights."""
        return weighted_sum(losses, {task: self.weights.get(task, 1.0) for task in losses})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `equal` and `static`."""
    return {"equal": Equal, "static": Static}

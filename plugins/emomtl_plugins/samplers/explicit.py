"""`explicit`: sampling with probabilities that the manifest gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from emomtl import EmomtlError, Moment, Sampler, hookimpl
from emomtl_plugins.task_names import unknown_tasks


@dataclass(frozen=True)
class Explicit(Sampler):
    """p_i = a_i / sum_j a_j with one number a_i >= 0 for each task, whatever its size.

    `shares` are the a_i by task. They need not sum to 1, and a task with 0 is never drawn. (The
    option cannot be called `probabilities`, which is the sampler's method.)
    """

    shares: Mapping[str, Annotated[float, Ge(0)]]

    def check(self, sizes: Mapping[str, int]) -> None:
        problems = unknown_tasks(self.shares, sizes)
        problems += [f"the task {task!r} has no share" for task in sizes if task not in self.shares]
        for task, share in self.shares.items():
            if not 0 <= share < math.inf:
                problems.append(f"{task!r} has the share {share}")
        if not problems and not any(self.shares.values()):
            problems.append("every share is 0")
        if problems:
            remedy = "give each task of the run a finite number >= 0, and at least one more than 0"
            raise EmomtlError(*problems, place="sampler.shares", remedy=remedy)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        total = math.fsum(self.shares.values())
        return {task: self.shares[task] / total for task in moment.tasks}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {"explicit": Explicit}

"""Sampling with probabilities that the manifest gives."""

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

    `shares` are the a_i by task; they need not sum to 1, and a task with 0 is never drawn. (The option cannot be called
    `probabilities`, as that is the sampler's method.)
    """

    shares: Mapping[str, Annotated[float, Ge(0)]]

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise `EmomtlError` where a task has no share, a name is unknown, a share is negative or not finite, or all are 0."""
        found = unknown_tasks(self.shares, sizes)
        found += [f"the task {task!r} has no share" for task in sizes if task not in self.shares]
        found += [f"{task!r} has the share {share}" for task, share in self.shares.items() if not 0 <= share < math.inf]
        if not found and not any(self.shares.values()):
            found.append("every share is 0")
        if found:
            remedy = "give each task of the run one finite number >= 0, and at least one task more than 0"
            raise EmomtlError(*found, place="sampler.shares", remedy=remedy)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The shares, scaled to sum 1; the same numbers at every moment of a run."""
        total = math.fsum(self.shares.values())
        return {task: self.shares[task] / total for task in moment.tasks}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `explicit`."""
    return {"explicit": Explicit}

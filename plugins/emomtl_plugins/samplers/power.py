"""Sampling by a power of a task's size: proportional, square-root, uniform, and anything between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from emomtl import Moment, Sampler, hookimpl


def power_law(sizes: Mapping[str, int], alpha: float) -> dict[str, float]:
    """p_i = n_i^alpha / sum_j n_j^alpha over the training rows n_i (each at least 1)."""
    powers = {task: float(size) ** alpha for task, size in sizes.items()}
    total = math.fsum(powers.values())
    return {task: power / total for task, power in powers.items()}


@dataclass(frozen=True)
class Power(Sampler):
    """p_i ∝ n_i^alpha with n_i training rows (Stickland & Murray, 2019; arXiv:1902.02671).

    `alpha` = 1 is proportional to size, 0.5 the square root, 0 uniform.
    """

    alpha: Annotated[float, Ge(0), Le(1)] = 0.5

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The same numbers at every moment of a run."""
        return power_law(moment.sizes, self.alpha)


@dataclass(frozen=True)
class Proportional(Sampler):
    """p_i ∝ n_i: every example of every task is equally likely."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The share that each task has in all training rows."""
        return power_law(moment.sizes, 1.0)


@dataclass(frozen=True)
class SquareRoot(Sampler):
    """p_i ∝ n_i^0.5: large tasks lead, but by less than their size (Stickland & Murray, 2019; arXiv:1902.02671)."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The share that the square root of each task's size has in the sum of square roots."""
        return power_law(moment.sizes, 0.5)


@dataclass(frozen=True)
class Uniform(Sampler):
    """p_i = 1/T: every one of the T tasks is equally likely, whatever its size."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """One over the number of tasks."""
        return power_law(moment.sizes, 0.0)


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `power`, `proportional`, `square-root` and `uniform`."""
    return {"power": Power, "proportional": Proportional, "square-root": SquareRoot, "uniform": Uniform}

"""`power`, `proportional`, `square-root` and `uniform`: sampling by a power of a task's size."""

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
        return power_law(moment.sizes, self.alpha)


@dataclass(frozen=True)
class Proportional(Sampler):
    """p_i ∝ n_i: every example of every task is equally likely."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        return power_law(moment.sizes, 1.0)


@dataclass(frozen=True)
class SquareRoot(Sampler):
    """p_i ∝ n_i^0.5 (Stickland & Murray, 2019; arXiv:1902.02671).

    Large tasks come more often than small ones, but less so than their sizes say.
    """

    def probabilities(self, moment: Moment) -> dict[str, float]:
        return power_law(moment.sizes, 0.5)


@dataclass(frozen=True)
class Uniform(Sampler):
    """p_i = 1/T: each of the T tasks is equally likely, whatever its size."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        return power_law(moment.sizes, 0.0)


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {
        "power": Power,
        "proportional": Proportional,
        "square-root": SquareRoot,
        "uniform": Uniform,
    }

"""`temperature`: sampling with a temperature and a cap on size, as T5 mixes its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from emomtl import Moment, Sampler, hookimpl
from emomtl_plugins.samplers.power import power_law


@dataclass(frozen=True)
class Temperature(Sampler):
    """p_i ∝ min(n_i, C)^(1/T) with n_i training rows (T5; Raffel et al., 2020; arXiv:1910.10683).

    `temperature` T = 1 is proportional to the capped sizes; the larger it is, the more even the
    probabilities. `cap` C is the most rows that a task counts for (T5's artificial limit); None is
    no limit.
    """

    temperature: Annotated[float, Ge(1)] = 2.0
    cap: Annotated[int, Gt(0)] | None = None

    def probabilities(self, moment: Moment) -> dict[str, float]:
        sizes = moment.sizes
        if self.cap is not None:
            sizes = {task: min(size, self.cap) for task, size in sizes.items()}
        return power_law(sizes, 1 / self.temperature)


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {"temperature": Temperature}

"""Sampling with a temperature and a cap on size, as T5 mixes its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from emomtl import Moment, Sampler, hookimpl
from emomtl_plugins.samplers.power import power_law


@dataclass(frozen=True)
class Temperature(Sampler):
    """p_i ∝ min(n_i, C)^(1/T) (Raffel et al., 2020, T5; arXiv:1910.10683; also jiant's temperature sampler).

    `temperature` T = 1 is proportional to the capped sizes, and the larger it is the closer to uniform; `cap` C is the most
    rows that a task counts for (T5's artificial limit), and None caps nothing.
    """

    temperature: Annotated[float, Ge(1)] = 2.0
    cap: Annotated[int, Gt(0)] | None = None

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The same numbers at every moment of a run."""
        capped = {task: size if self.cap is None else min(size, self.cap) for task, size in moment.sizes.items()}
        return power_law(capped, 1 / self.temperature)


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `temperature`."""
    return {"temperature": Temperature}

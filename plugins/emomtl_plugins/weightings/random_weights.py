"""`random`: weights drawn anew at every step, the baseline that other weightings have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emomtl import Moment, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn

STREAM = 2111_10603
"""Keeps these draws apart from others that start from the same seed and step."""


@dataclass(frozen=True)
class Random(Weighting):
    """L = sum_t w_t L_t with w = softmax(z) and z_t ~ N(0, 1) drawn anew at each step.

    Random loss weighting (Lin et al., 2022; arXiv:2111.10603). The draw depends on the run's seed
    and the step alone: it is the same on every device and for each micro-batch, and it covers all
    tasks of the run even where a step lacks some.

    Departure: the paper's weights sum to 1 (`total = "one"`), which divides the learning rate by T
    if one compares with the plain sum. `"tasks"`, the default, multiplies them by T.
    """

    total: Literal["one", "tasks"] = "tasks"

    def weights(self, moment: Moment) -> dict[str, float]:
        """The weight of each task of the run in this step."""
        import numpy as np

        task_count = len(moment.tasks)
        generator = np.random.default_rng([STREAM, moment.seed, moment.step])
        powers = np.exp(generator.standard_normal(task_count))
        total = task_count if self.total == "tasks" else 1
        weights = powers / powers.sum() * total
        return dict(zip(moment.tasks, weights.tolist(), strict=True))

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_sum(losses, self.weights(moment))


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"random": Random}

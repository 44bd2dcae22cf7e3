"""Weights drawn anew at every step: the baseline that a cleverer weighting has to beat."""

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
    """L = sum_t w_t L_t with w = softmax(z) and z_t ~ N(0, 1) drawn anew each step (Lin et al., 2022; arXiv:2111.10603).

    The paper's weights sum to 1, which beside the plain sum divides the learning rate by T. `total = "tasks"`, the default,
    departs from it: the weights are multiplied by the number of tasks T, so that each is 1 on average; `total = "one"` is the
    paper's. The draw is a function of the run's seed and the step, the same on every device and for each micro-batch, and
    covers all tasks of the run even where a step lacks some.
    """

    total: Literal["one", "tasks"] = "tasks"

    def weights(self, moment: Moment) -> dict[str, float]:
        """The weight of every task of the run in this step."""
        import numpy as np

        tasks = moment.tasks
        z = np.random.default_rng([STREAM, moment.seed, moment.step]).standard_normal(len(tasks))
        powers = np.exp(z)
        drawn = powers / powers.sum() * (len(tasks) if self.total == "tasks" else 1)
        return dict(zip(tasks, drawn.tolist(), strict=True))

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights."""
        return weighted_sum(losses, self.weights(moment))


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `random`."""
    return {"random": Random}

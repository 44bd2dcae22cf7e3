"""`uncertainty`: each loss is divided by a noise that is learned for its task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.task_scalars import add_scalars, scalar
from emomtl_plugins.weightings.weighted_sum import by_task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Uncertainty(Weighting):
    """L = sum_t w_t L_t + s_t/2 with learned s_t = log sigma_t^2.

    Kendall, Gal & Cipolla (2018), arXiv:1705.07115, equation 10. w_t = e^(−s_t) for classification
    and e^(−s_t)/2 for regression. At a fixed loss the best s_t is log 2 L_t (classification) or
    log L_t (regression), so the sum may be negative. `init` is the first value of every s_t (the
    paper names none; LibMTL has −0.5). Left out, each starts at its optimum for the loss of the
    best constant answer on the task's training rows, since a few hundred steps are too few to come
    from one number for all. Only tasks with a loss in the step add a term.
    """

    init: Annotated[float, Ge(-20), Le(20)] | None = None

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The parameters `s`, a scalar for each task, and the buffer `factors` (T,).

        `factors` is computed from the tasks, so no checkpoint holds it.
        """
        import torch

        state = super().start(tasks, shared)
        first_values: dict[str, float] = {}
        factors = []
        for task, facts in tasks.items():
            # A Gaussian's negative log-likelihood has the factor 1/2, that of a softmax none.
            factor = 0.5 if facts.answers == "numbers" else 1.0
            factors.append(factor)
            if self.init is not None:
                first_values[task] = self.init
            else:
                # The minimum of f e^(-s) L + s/2 over s is at s = log(2 f L), with f = factor.
                first_values[task] = math.log(2 * factor * facts.base_loss)
        add_scalars(state, "s", first_values)
        state.register_buffer("factors", torch.tensor(factors), persistent=False)
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        factors = by_task(state.get_buffer("factors"), moment)
        terms, weights = [], {}
        for task, loss in losses.items():
            # Equation 10 with s = log sigma^2: L / (2 sigma^2) + log sigma for regression, and
            # L / sigma^2 + log sigma for classification; log sigma = s / 2.
            s = scalar(state, "s", task)
            weight = factors[task] * torch.exp(-s)
            # `backward` multiplies by moment.share. The term s/2 counts by the task's own part, so
            # that over the micro-batches of a step it is added exactly once.
            terms.append(weight * loss.float() + s / 2 * (moment.part(task) / moment.share))
            weights[task] = weight.detach()
        return torch.stack(terms).sum(), weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"uncertainty": Uncertainty}

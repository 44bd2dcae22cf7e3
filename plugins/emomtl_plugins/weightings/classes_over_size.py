"""`classes-over-size`: weights by the number of labels over the size of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import by_task, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ClassesOverSize(Weighting):
    """L = sum_t lambda_t L_t with lambda_t ∝ C_t / |D_t|, for C_t labels and |D_t| training rows.

    Equation 5 of the CS769 report of Kumar, Desai & Murugan, who did not run it and did not
    normalise it. Here the lambda_t sum to the number of tasks T. The C_t of a regression is its
    number of outputs. Sizes that differ much give extreme weights: beside GoEmotions (28 labels,
    43,410 rows) a task with two labels and 1.6 million rows gets 0.004.
    """

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffer `weights` (T,). It is computed from the tasks, so no checkpoint holds it."""
        import torch

        state = super().start(tasks, shared)
        weights = torch.tensor(classes_over_size(tasks), dtype=torch.float32)
        state.register_buffer("weights", weights, persistent=False)
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_sum(losses, by_task(state.get_buffer("weights"), moment))


def classes_over_size(tasks: Mapping[str, TaskFacts]) -> list[float]:
    """The weight lambda_t of each task, in the order of `tasks`."""
    # Equation 5, scaled to sum to T: lambda_t = T (C_t / |D_t|) / sum_u (C_u / |D_u|)
    ratios = [facts.outputs / facts.size for facts in tasks.values()]
    return [len(ratios) * ratio / sum(ratios) for ratio in ratios]


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"classes-over-size": ClassesOverSize}

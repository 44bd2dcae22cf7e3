"""Weights that grow with the number of labels and fall with the size of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


def classes_over_size(tasks: Mapping[str, TaskFacts]) -> list[float]:
    """lambda_t = T (C_t / |D_t|) / sum_u (C_u / |D_u|), in the order of `tasks`."""
    ratios = [facts.outputs / facts.size for facts in tasks.values()]
    return [len(ratios) * ratio / sum(ratios) for ratio in ratios]


@dataclass(frozen=True)
class ClassesOverSize(Weighting):
    """L = sum_t lambda_t L_t with lambda_t ∝ C_t / |D_t|, for C_t labels and |D_t| training rows.

    Equation 5 of Kumar, Desai & Murugan's CS769 report, which never ran it and did not normalise; here the lambda_t of the
    run sum to its number of tasks T. A regression counts its outputs as C_t. Sizes that differ much give extreme weights:
    against GoEmotions (28 labels, 43,410 rows) two labels on 1.6 million rows get 0.004.
    """

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """A module with the buffer `weights` (T,), which follows from the tasks and is not saved."""
        import torch

        state = super().start(tasks, shared)
        state.register_buffer("weights", torch.tensor(classes_over_size(tasks), dtype=torch.float32), persistent=False)
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights."""
        return weighted_sum(losses, dict(zip(moment.tasks, state.get_buffer("weights").unbind(), strict=True)))


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `classes-over-size`."""
    return {"classes-over-size": ClassesOverSize}

"""`gradvac`: as `pcgrad`, but towards the usual similarity of a pair of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le

from emomtl import TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GradVac(GradientMethod):
    """As `pcgrad`, but towards the usual cosine phi_tj of a pair instead of 0.

    Gradient Vaccine (Wang et al., 2021; arXiv:2010.05874). Where the cosine of g_t' and g_j is
    below phi_tj, g_j is added to g_t' until it is phi_tj. Then
    phi_tj <- (1 − beta) phi_tj + beta cosine. phi starts at 0 and is kept in the run's state.
    `beta` is 0.5 as in TorchJD and LibMTL. `scope` is "all" shared parameters, taken as one vector,
    or "last-layer".
    """

    remembers: ClassVar[bool] = True
    beta: Annotated[float, Ge(0), Le(1)] = 0.5

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """TorchJD's module as `vaccine`, with the buffer phi (T, T)."""
        import torch
        from torchjd.aggregation import GradVacWeighting

        state = super().start(tasks, shared)
        state.add_module("vaccine", GradVacWeighting(self.beta))
        # TorchJD makes phi in the first call, but a checkpoint is loaded before one: so it is
        # called here with gradients without conflict, which leave phi at 0.
        with torch.random.fork_rng(devices=[]):
            state.get_submodule("vaccine")(torch.eye(len(tasks)))
        return state

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        weights: Tensor = state.get_submodule("vaccine").cpu()(gramian)
        return weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"gradvac": GradVac}

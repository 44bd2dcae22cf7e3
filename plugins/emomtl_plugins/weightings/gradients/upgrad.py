"""`upgrad`: the mean of the gradients, each projected to where no loss rises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class UPGrad(GradientMethod):
    """The mean of the gradients, each projected to where no loss rises.

    UPGrad (Quinton & Rey, 2024; arXiv:2406.16232). No loss rises along d: g_t d >= 0 for all t, up
    to the solver's regularisation. For two tasks T d is the d of `pcgrad`. `total = "one"` is the
    paper's mean, and "tasks" multiplies by T, to the scale of the sum. `scope` is "all" shared
    parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "qpsolvers", "quadprog")
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import UPGradWeighting

        return scaled(UPGradWeighting()(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"upgrad": UPGrad}

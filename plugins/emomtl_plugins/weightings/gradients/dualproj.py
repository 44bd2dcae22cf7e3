"""`dualproj`: the mean gradient, projected to where no loss rises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DualProj(GradientMethod):
    """The mean gradient, projected to where no loss rises: g_t d >= 0 for all t.

    GEM (Lopez-Paz & Ranzato, 2017; arXiv:1706.08840), equation 11; exact up to the solver's
    regularisation. `total = "one"` is the mean, and "tasks" multiplies by T, to the scale of the
    sum. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "qpsolvers", "quadprog")
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import DualProjWeighting

        return scaled(DualProjWeighting()(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"dualproj": DualProj}

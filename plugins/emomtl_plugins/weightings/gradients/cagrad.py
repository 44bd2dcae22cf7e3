"""`cagrad`: near the mean gradient, the direction in which the slowest loss falls fastest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Lt

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class CAGrad(GradientMethod):
    """Of all d within c |g_0| of the mean gradient g_0, the one that most lowers the slowest loss.

    CAGrad (Liu et al., 2021; arXiv:2110.14048): d = g_0 + c |g_0| g_w / |g_w|, w on the simplex.
    `c` is 0 for the mean, and 0.4 in the paper's runs. `rescale` divides d as the authors' code
    does: 1 by 1 + c^2, 2 by 1 + c, 0 by nothing. `total = "one"` keeps to the mean's scale, and
    "tasks" multiplies by T, to that of the sum. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "cvxpy", "clarabel")
    c: Annotated[float, Ge(0), Lt(1)] = 0.4
    rescale: Literal[0, 1, 2] = 1
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import CAGradWeighting

        divisor = (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
        return scaled(CAGradWeighting(self.c)(gramian) / divisor, self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"cagrad": CAGrad}

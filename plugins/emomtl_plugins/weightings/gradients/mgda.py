"""`mgda`: the shortest vector in the convex hull of the gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt, Lt

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Mgda(GradientMethod):
    """d = sum_t a_t g_t with a >= 0, sum_t a_t = 1, and |d| as small as possible.

    MGDA (Désidéri, 2012), solved as by Sener & Koltun (2018; arXiv:1810.04650), with at most
    `max_iters` steps of Frank and Wolfe, fewer where one moves by less than `epsilon`; for two
    tasks the first is exact. A small gradient counts most, often alone. With `normalise = "l2"` the
    a_t are found for gradients of length 1 and then applied to the gradients themselves.
    `total = "one"` leaves the sum of the weights at 1, and "tasks" makes it T. `scope` is "all"
    shared parameters or "last-layer".
    """

    normalise: Literal["none", "l2"] = "none"
    epsilon: Annotated[float, Gt(0), Lt(1)] = 1e-3
    max_iters: Annotated[int, Gt(0)] = 100
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import MGDAWeighting

        if self.normalise == "l2":
            norms = gramian.diagonal().sqrt()
            gramian = gramian / norms.outer(norms)
        return scaled(MGDAWeighting(self.epsilon, self.max_iters)(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"mgda": Mgda}

"""Methods that look for a direction in which every loss falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Mgda(GradientMethod):
    """d = sum_t a_t g_t with a >= 0, sum_t a_t = 1, and |d| the least that there is (MGDA; Désidéri, 2012).

    Solved as by Sener & Koltun (2018; arXiv:1810.04650), with at most `max_iters` steps of Frank and Wolfe, fewer where one
    moves by less than `epsilon`; for two tasks the first is exact. A small gradient counts most, often alone; with
    `normalise = "l2"` the a_t are found for gradients of length 1 and then applied to those that there are. `total = "one"`
    leaves the sum of the weights at 1, and "tasks" makes it T. `scope` is "all" shared parameters or "last-layer".
    """

    normalise: Literal["none", "l2"] = "none"
    epsilon: Annotated[float, Gt(0), Lt(1)] = 1e-3
    max_iters: Annotated[int, Gt(0)] = 100
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """a, scaled."""
        from torchjd.aggregation import MGDAWeighting

        lengths = gramian.diagonal().sqrt()
        seen = gramian / lengths.outer(lengths) if self.normalise == "l2" else gramian
        return scaled(MGDAWeighting(self.epsilon, self.max_iters)(seen), self.total)


@dataclass(frozen=True)
class CAGrad(GradientMethod):
    """Of all d within c |g_0| of the mean gradient g_0, the one on which the slowest loss falls fastest.

    Liu et al., 2021; arXiv:2110.14048: d = g_0 + c |g_0| g_w / |g_w|, w on the simplex. `c` is 0 for the mean, 0.4 in the
    paper's runs. `rescale` divides d as the authors' code does: 1 by 1 + c^2, 2 by 1 + c, 0 by nothing. `total = "one"` keeps to
    the mean's scale, and "tasks" multiplies by T, to that of the sum. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "cvxpy", "clarabel")
    c: Annotated[float, Ge(0), Lt(1)] = 0.4
    rescale: Literal[0, 1, 2] = 1
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        from torchjd.aggregation import CAGradWeighting

        divisor = (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
        return scaled(CAGradWeighting(self.c)(gramian) / divisor, self.total)


@dataclass(frozen=True)
class UPGrad(GradientMethod):
    """The mean of the gradients, each projected to where no loss rises (Quinton & Rey, 2024; arXiv:2406.16232).

    No loss rises along d: g_t d >= 0 for all t, up to the solver's regularisation. For two tasks T d is `pcgrad`'s.
    `total = "one"` is the paper's mean, and "tasks" multiplies by T, to the scale of the sum. `scope` is "all" shared
    parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "qpsolvers", "quadprog")
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        from torchjd.aggregation import UPGradWeighting

        return scaled(UPGradWeighting()(gramian), self.total)


@dataclass(frozen=True)
class DualProj(GradientMethod):
    """The mean gradient, projected to where no loss rises (GEM; Lopez-Paz & Ranzato, 2017; arXiv:1706.08840, equation 11).

    g_t d >= 0 for all t, up to the solver's regularisation. `total = "one"` is the mean, and "tasks" multiplies by T, to the
    scale of the sum. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "qpsolvers", "quadprog")
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        from torchjd.aggregation import DualProjWeighting

        return scaled(DualProjWeighting()(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `mgda`, `cagrad`, `upgrad` and `dualproj`."""
    return {"mgda": Mgda, "cagrad": CAGrad, "upgrad": UPGrad, "dualproj": DualProj}

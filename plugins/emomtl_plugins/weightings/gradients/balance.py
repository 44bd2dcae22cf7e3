"""Methods that give every task the same say, however large its gradient is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, coordinates, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ImtlGradient(GradientMethod):
    """d = sum_t a_t g_t, sum_t a_t = 1, with the same part along every gradient: IMTL-G (Liu et al., 2021, ICLR).

    d u_t is equal for all unit gradients u_t; an a_t may be below 0. `total = "one"` is the paper's, and "tasks" makes the sum
    T. `scope` is "all" shared parameters or "last-layer".
    """

    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """a, scaled."""
        from torchjd.aggregation import IMTLGWeighting

        return scaled(IMTLGWeighting()(gramian), self.total)


@dataclass(frozen=True)
class NashMtl(GradientMethod):
    """d = sum_t a_t g_t with a > 0 and G a = 1/a: what the tasks agree on as bargainers (Navon et al., 2022; arXiv:2202.01017).

    Solved by at most `iterations` rounds of convex programs from the last a, which is kept in the run's state; the rounds
    do not always come to the solution, as TorchJD warns of the authors' code that it took over. `update_every`
    solves in every so many steps only and uses the last a between. d is made no longer than `max_norm`, 0 for no limit:
    1 as in the authors' code. G is divided by its norm for the solver and a not multiplied back, as there. A step costs
    milliseconds of solver for a few tasks. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "cvxpy", "ecos")
    remembers: ClassVar[bool] = True
    max_norm: Annotated[float, Ge(0)] = 1.0
    update_every: Annotated[int, Gt(0)] = 1
    iterations: Annotated[int, Gt(0)] = 20

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `a` (T,) in float64 and `steps`, and TorchJD's module `bargain`, which holds the solver's problem."""
        import torch
        from torchjd.aggregation import NashMTL

        state = super().start(tasks, shared)
        state.register_buffer("a", torch.ones(len(tasks), dtype=torch.float64))
        state.register_buffer("steps", torch.tensor(0))
        state.add_module("bargain", NashMTL(len(tasks), max_norm=0.0, optim_niter=self.iterations).weighting)
        return state

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """a, scaled down where d would be too long."""

        a, steps = state.get_buffer("a"), state.get_buffer("steps")
        if int(steps) % self.update_every == 0:
            bargain: Any = state.get_submodule("bargain")
            bargain.prvs_alpha = a.cpu().numpy()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="You are solving a parameterized problem that is not DPP")
                a.copy_(bargain(coordinates(gramian)))
        steps += 1
        found = a.cpu()
        length = float((found @ gramian.double() @ found).clamp(min=0).sqrt()) * size**0.5
        return found * (self.max_norm / length) if 0 < self.max_norm < length else found


@dataclass(frozen=True)
class FairGrad(GradientMethod):
    """d = sum_t a_t g_t with a > 0 and G a = a^(−1/alpha): alpha-fairness (Ban & Ji, 2024; arXiv:2402.15638, equation 4).

    `alpha` is 0 for the plain mean; 1 gives the direction of `nash-mtl`, and more of it favours the worst task more. The
    length of d hardly depends on that of the gradients. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "scipy")
    alpha: Annotated[float, Ge(0)] = 1.0

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """a: solved for the scaled Gramian G/s, it is s^(alpha/(alpha + 1)) times too large."""
        from torchjd.aggregation import FairGradWeighting

        found: Tensor = FairGradWeighting(self.alpha)(gramian.double()) * size ** (-self.alpha / (self.alpha + 1))
        return found


@dataclass(frozen=True)
class AlignedMtl(GradientMethod):
    """d is the mean of gradients that were made orthogonal and equally long (Senushkin et al., 2023; arXiv:2305.19000).

    With G = V diag(e) V^T the weights are s V diag(e)^(−1/2) V^T (1/T, ..., 1/T). `scale` says what s is the root of: the "min",
    the paper's, the "median" or, as "rmse", the mean of the eigenvalues e. `total = "one"` is the mean, and "tasks" multiplies by
    T, to the scale of the sum. `scope` is "all" shared parameters or "last-layer".
    """

    scale: Literal["min", "median", "rmse"] = "min"
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        from torchjd.aggregation import AlignedMTLWeighting

        return scaled(AlignedMTLWeighting(scale_mode=self.scale)(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `imtl-g`, `nash-mtl`, `fairgrad` and `aligned-mtl`."""
    return {"imtl-g": ImtlGradient, "nash-mtl": NashMtl, "fairgrad": FairGrad, "aligned-mtl": AlignedMtl}

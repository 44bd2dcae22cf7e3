"""`nash-mtl`: what the tasks agree on in a Nash bargaining game."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from emomtl import TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, coordinates

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class NashMtl(GradientMethod):
    """d = sum_t a_t g_t with a > 0 and G a = 1/a, G the Gramian.

    Nash-MTL (Navon et al., 2022; arXiv:2202.01017). Solved by at most `iterations` rounds of convex
    programs, starting from the last a, which is kept in the run's state. The rounds do not always
    reach the solution: TorchJD took the authors' code over and warns of it. Only every
    `update_every`-th step solves, and the steps between use the last a. d is made no longer than
    `max_norm`, 0 for no limit; 1 as in the authors' code. As there, the solver sees G over its
    norm, and a is not scaled back. A step costs milliseconds for a few tasks. `scope` is "all"
    shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "cvxpy", "ecos")
    remembers: ClassVar[bool] = True
    max_norm: Annotated[float, Ge(0)] = 1.0
    update_every: Annotated[int, Gt(0)] = 1
    iterations: Annotated[int, Gt(0)] = 20

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `a` (T,) in float64 and `steps`, and TorchJD's solver as `bargain`."""
        import torch
        from torchjd.aggregation import NashMTL

        state = super().start(tasks, shared)
        state.register_buffer("a", torch.ones(len(tasks), dtype=torch.float64))
        state.register_buffer("steps", torch.tensor(0))
        solver = NashMTL(len(tasks), max_norm=0.0, optim_niter=self.iterations)
        state.add_module("bargain", solver.weighting)
        return state

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        a, steps = state.get_buffer("a"), state.get_buffer("steps")
        if int(steps) % self.update_every == 0:
            solver: Any = state.get_submodule("bargain")
            solver.prvs_alpha = a.cpu().numpy()  # it starts from here, also after a resume
            with warnings.catch_warnings():
                not_dpp = "You are solving a parameterized problem that is not DPP"
                warnings.filterwarnings("ignore", message=not_dpp)
                a.copy_(solver(coordinates(gramian)))
        steps += 1
        weights = a.cpu()
        # |d|^2 = a^T G a, and `gramian` is G / size.
        squared_length = (weights @ gramian.double() @ weights).clamp(min=0)
        length = float(squared_length.sqrt()) * size**0.5
        return weights * (self.max_norm / length) if 0 < self.max_norm < length else weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"nash-mtl": NashMtl}

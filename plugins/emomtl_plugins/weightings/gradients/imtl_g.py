"""`imtl-g`: the mixture with the same part along every gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ImtlGradient(GradientMethod):
    """d = sum_t a_t g_t, sum_t a_t = 1, with d u_t equal for all unit gradients u_t.

    IMTL-G (Liu et al., 2021, "Towards Impartial Multi-task Learning", ICLR). An a_t may be
    negative. `total = "one"` is the paper's, and "tasks" makes the sum T. `scope` is "all" shared
    parameters or "last-layer".
    """

    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import IMTLGWeighting

        return scaled(IMTLGWeighting()(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"imtl-g": ImtlGradient}

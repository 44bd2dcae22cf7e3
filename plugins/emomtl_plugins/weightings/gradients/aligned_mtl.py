"""`aligned-mtl`: the mean of the gradients, made orthogonal and equally long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class AlignedMtl(GradientMethod):
    """The mean of gradients that were made orthogonal and equally long.

    Aligned-MTL (Senushkin et al., 2023; arXiv:2305.19000). With G = V diag(e) V^T the weights are
    s V diag(e)^(−1/2) V^T (1/T, ..., 1/T). `scale` says what s is the root of: the "min", the
    paper's, the "median" or, as "rmse", the mean of the eigenvalues e. `total = "one"` is the mean,
    and "tasks" multiplies by T, to the scale of the sum. `scope` is "all" shared parameters or
    "last-layer".
    """

    scale: Literal["min", "median", "rmse"] = "min"
    total: Literal["one", "tasks"] = "tasks"

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import AlignedMTLWeighting

        return scaled(AlignedMTLWeighting(scale_mode=self.scale)(gramian), self.total)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"aligned-mtl": AlignedMtl}

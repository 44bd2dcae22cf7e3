"""`pcgrad`: each gradient loses its part against every gradient it conflicts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class PCGrad(GradientMethod):
    """d = sum_t g_t', where g_t' is g_t less its part against each g_j with g_t' g_j < 0.

    PCGrad (Yu et al., 2020; arXiv:2001.06782), algorithm 1. The other tasks g_j are taken in an
    order that is drawn for each task at each step. `scope` is "all" shared parameters, taken as one
    vector, or "last-layer".
    """

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import PCGradWeighting

        # Algorithm 1: g_t' <- g_t' - (g_t' g_j / |g_j|^2) g_j wherever g_t' g_j < 0
        weights: Tensor = PCGradWeighting()(gramian)
        return weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"pcgrad": PCGrad}

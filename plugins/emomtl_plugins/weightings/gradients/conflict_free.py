"""`conflict-free`: the direction with the same cosine to every gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, coordinates

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ConflictFree(GradientMethod):
    """The direction with the same cosine to every gradient.

    ConFIG (Liu, Chu & Thuerey, 2024; arXiv:2408.11104), equation 2: d = (sum_t g_t u) u, with u
    along pinv(U) 1 and U the unit gradients; so d is as long as the sum of the gradients' parts
    along it. It is solved in the span of the gradients, since torch's pseudo-inverse of a float32
    matrix of more than 8 million columns is 0 by its default tolerance, and so TorchJD's `ConFIG`
    of a whole encoder is 0 too. `scope` is "all" shared parameters or "last-layer".
    """

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        import torch
        from torchjd.aggregation import ConFIG

        # With the gradients R (t, t) in a basis of their span, d = w R, so w = d pinv(R).
        rows = coordinates(gramian)
        weights: Tensor = ConFIG()(rows) @ torch.linalg.pinv(rows)
        return weights


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"conflict-free": ConflictFree}

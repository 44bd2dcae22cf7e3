"""`graddrop`: each entry of the gradients takes one sign, which is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GradDrop(GradientMethod):
    """For each entry either the positive or the negative parts of the gradients are summed.

    Gradient sign dropout (Chen et al., 2020; arXiv:2010.06808). The positive parts are taken with
    probability (1 + sum_t g_t / sum_t |g_t|) / 2, drawn for each entry at each step. `leak` is the
    part of every gradient that passes in any case. `scope` is "all" shared parameters, or
    "last-layer".

    Departures: the paper drops gradients of activations; this is its form for parameters. No
    weights of tasks give this mixture: those that are logged come closest to it (least squares).
    """

    leak: Annotated[float, Ge(0), Le(1)] = 0.0

    def mixed(self, state: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
        import torch
        from torchjd.aggregation import GradDrop as TorchJDGradDrop

        mixture = TorchJDGradDrop(leak=rows.new_full((len(rows),), self.leak))(rows)
        # Least squares: w = pinv(J J^T) J d minimises |J^T w - d|, with J = rows and d = mixture.
        gramian, products = (rows @ rows.T).cpu(), (rows @ mixture).cpu()
        finite = bool(torch.isfinite(gramian).all()) and bool(torch.isfinite(products).all())
        weights = torch.linalg.pinv(gramian) @ products if finite else torch.ones(len(rows))
        return mixture, weights

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """Never called: `mixed` works on single entries, of which a Gramian knows nothing."""
        raise NotImplementedError


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"graddrop": GradDrop}

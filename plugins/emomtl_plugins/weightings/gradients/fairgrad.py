"""`fairgrad`: the tasks' gains are shared out by alpha-fairness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from emomtl import Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class FairGrad(GradientMethod):
    """d = sum_t a_t g_t with a > 0 and G a = a^(−1/alpha), G the Gramian.

    FairGrad (Ban & Ji, 2024; arXiv:2402.15638), equation 4. `alpha` is 0 for the plain mean; 1
    gives the direction of `nash-mtl`, and more of it favours the worst task more. The length of d
    hardly depends on that of the gradients. `scope` is "all" shared parameters or "last-layer".
    """

    needs: ClassVar[tuple[str, ...]] = ("torchjd", "scipy")
    alpha: Annotated[float, Ge(0)] = 1.0

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        from torchjd.aggregation import FairGradWeighting

        # TorchJD solves (G/s) b = b^(-1/alpha), with s = size. Then a = s^(-alpha/(alpha + 1)) b
        # solves G a = a^(-1/alpha).
        weights: Tensor = FairGradWeighting(self.alpha)(gramian.double())
        factor: float = size ** (-self.alpha / (self.alpha + 1))
        return weights * factor


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"fairgrad": FairGrad}

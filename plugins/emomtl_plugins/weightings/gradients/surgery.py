"""Methods that change a gradient where it conflicts with another's, and then sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le

from emomtl import TaskFacts, Weighting, hookimpl
from emomtl_plugins.weightings.gradients.method import GradientMethod, coordinates

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class PCGrad(GradientMethod):
    """d = sum_t g_t', g_t' = g_t less its part against each other g_j with g_t' g_j < 0 (Yu et al., 2020; arXiv:2001.06782).

    The other tasks are taken in an order that is drawn for each task at each step. `scope` is "all" shared parameters,
    taken as one vector, or "last-layer".
    """

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        from torchjd.aggregation import PCGradWeighting

        found: Tensor = PCGradWeighting()(gramian)
        return found


@dataclass(frozen=True)
class GradVac(GradientMethod):
    """As `pcgrad`, but towards the usual similarity of a pair instead of 0 (Wang et al., 2021; arXiv:2010.05874).

    Where the cosine of g_t' and g_j is below phi_tj, so much of g_j is added that it would be phi_tj; then
    phi_tj <- (1 − beta) phi_tj + beta cosine. phi starts at 0 and is kept in the run's state. `beta` is 0.5 as in TorchJD and
    LibMTL. `scope` is "all" shared parameters, taken as one vector, or "last-layer".
    """

    remembers: ClassVar[bool] = True
    beta: Annotated[float, Ge(0), Le(1)] = 0.5

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """TorchJD's module `vaccine`; its buffer phi (T, T) comes with the first call, so it sees a Gramian of no conflict."""
        import torch
        from torchjd.aggregation import GradVacWeighting

        state = super().start(tasks, shared)
        state.add_module("vaccine", GradVacWeighting(self.beta))
        with torch.random.fork_rng(devices=[]):
            state.get_submodule("vaccine")(torch.eye(len(tasks)))
        return state

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        found: Tensor = state.get_submodule("vaccine").cpu()(gramian)
        return found


@dataclass(frozen=True)
class GradDrop(GradientMethod):
    """Of each entry of the gradients, either the positive parts are summed or the negative (Chen et al., 2020; arXiv:2010.06808).

    The positive ones with probability (1 + sum_t g_t / sum_t |g_t|) / 2, drawn for each entry at each step. `leak` is the
    part of every gradient that passes whatever was drawn. `scope` is "all" shared parameters, or "last-layer". The paper drops
    gradients of activations; this is its form for parameters. No weight a task makes up the mixture: those that are
    logged come closest to it (least squares).
    """

    leak: Annotated[float, Ge(0), Le(1)] = 0.0

    def mixed(self, state: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of what was kept of each gradient, and the weights that come closest to it."""
        import torch
        from torchjd.aggregation import GradDrop as Drop

        vector = Drop(leak=rows.new_full((len(rows),), self.leak))(rows)
        gramian, along = (rows @ rows.T).cpu(), (rows @ vector).cpu()
        finite = bool(torch.isfinite(gramian).all()) and bool(torch.isfinite(along).all())
        weights = torch.linalg.pinv(gramian) @ along if finite else torch.ones(len(rows))
        return vector, weights

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """Not asked for: the mixture is made entry by entry."""
        raise NotImplementedError


@dataclass(frozen=True)
class ConflictFree(GradientMethod):
    """The direction with the same cosine to every gradient, as long as the sum of their parts along it (`ConFIG`).

    Liu, Chu & Thuerey, 2024; arXiv:2408.11104, equation 2: d = (sum_t g_t u) u, with u along pinv(U) 1 and U the unit gradients.
    It is solved in the span of the gradients: the pseudo-inverse of a float32 matrix of more than 8 million columns is 0 by
    torch's default tolerance, and so is TorchJD's `ConFIG` of a whole encoder. `scope` is "all" shared parameters or
    "last-layer".
    """

    def weights(self, state: nn.Module, gramian: Tensor, size: float) -> Tensor:
        """How much of each g_t is in d."""
        import torch
        from torchjd.aggregation import ConFIG

        rows = coordinates(gramian)
        found: Tensor = ConFIG()(rows) @ torch.linalg.pinv(rows)
        return found


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `pcgrad`, `gradvac`, `graddrop` and `conflict-free`."""
    return {"pcgrad": PCGrad, "gradvac": GradVac, "graddrop": GradDrop, "conflict-free": ConflictFree}

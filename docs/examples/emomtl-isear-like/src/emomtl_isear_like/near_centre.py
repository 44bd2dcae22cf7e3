"""The objective `near-centre`: texts of one label are drawn to their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from emomtl import Objective, View, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class NearCentre(Objective):
    """The mean squared distance of a text's vector from the mean vector of its label, over all labels of the batch.

    `margin` is how near is near enough: a smaller squared distance costs nothing.
    """

    margin: Annotated[float, Ge(0)] = 0.0

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The mean over texts and their labels; texts with unknown labels have none."""
        import torch

        vectors, sets = view.pooled.float(), torch.nan_to_num(view.own.label_sets().float())
        size = sets.sum(dim=0).clamp(min=1)
        centres = sets.T @ vectors / size.unsqueeze(1)
        distances = ((vectors.unsqueeze(1) - centres) ** 2).mean(dim=2)
        return ((distances - self.margin).clamp(min=0) * sets).sum() / sets.sum().clamp(min=1)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    """Offer `near-centre`."""
    return {"near-centre": NearCentre}

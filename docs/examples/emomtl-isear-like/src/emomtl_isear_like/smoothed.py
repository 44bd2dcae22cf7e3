"""The head kind `smoothed`: one label a text, and no label is ever certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Lt

from emomtl import Head, SingleLabel, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

MISSING = -100


@dataclass(frozen=True)
class Smoothed(SingleLabel):
    """A single-label head with label smoothing (Szegedy et al., 2016; arXiv:1512.00567).

    `smoothing` is the part of each target that is spread evenly over all labels: raters often disagree about emotions.
    """

    kind: ClassVar[str] = "smoothed"
    smoothing: Annotated[float, Ge(0), Lt(1)] = 0.1

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Smoothed cross-entropy, the mean over rows with a label."""
        from torch.nn import functional

        total = functional.cross_entropy(
            logits.float(), targets, ignore_index=MISSING, reduction="sum", label_smoothing=self.smoothing
        )
        return total / (targets != MISSING).sum().clamp(min=1)


@hookimpl
def emomtl_heads() -> dict[str, type[Head]]:
    """Offer `smoothed`."""
    return {"smoothed": Smoothed}

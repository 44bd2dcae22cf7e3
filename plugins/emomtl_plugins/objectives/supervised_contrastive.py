"""`supervised-contrastive`: draws texts with like labels together and pushes the others apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt

from emomtl import Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import contrast, jaccard, labels_known, projection

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SupervisedContrastive(Objective):
    """L = mean_i −(1/|P(i)|) sum_{p in P(i)} log[exp(z_i·z_p/t) / sum_{a != i} exp(z_i·z_a/t)].

    Khosla et al. (2020), arXiv:2004.11362, equation 2 (L_out). P(i) are the other texts of the
    micro-batch with i's label, z the pooled vectors scaled to length 1. For several labels a text,
    p counts by the Jaccard index of both label sets, and |P(i)| is the sum of these; for one label
    that is the paper's loss. `temperature` t is 0.3 as in Suresh & Ong (2021); the paper has 0.1.
    `projection` is the width of a learned projection before the loss, as in the paper (128 there);
    0, the default, contrasts the pooled vectors themselves, which the heads read.

    Departures: there is no augmented second view of each text, so a text whose label no other text
    of the micro-batch has is left out. The loss is a mean and not the paper's sum. Texts with an
    unknown label take no part. Suresh & Ong mix lambda cross-entropy + (1 − lambda) contrast; their
    lambda = 0.5 is `weight = 1` here, up to a common factor.
    """

    temperature: Annotated[float, Gt(0)] = 0.3
    projection: Annotated[int, Ge(0)] = 0

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """The projection, (B, W) -> (B, `projection`)."""
        return projection(width, self.projection)

    def loss(self, module: nn.Module, view: View) -> Tensor:
        label_sets, known = labels_known(view.own)
        vectors = module(view.pooled.to(label_sets.dtype))
        return contrast(vectors, jaccard(label_sets), known, self.temperature)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    return {"supervised-contrastive": SupervisedContrastive}

"""Two passes over the same text under different dropout are to give the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import precise

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class RDrop(Objective):
    """R-Drop: L = ½ [KL(P_1 || P_2) + KL(P_2 || P_1)], of the answers P_1 and P_2 in two passes.

    Liang et al. (2021), arXiv:2106.14448, equations 2 to 4: −log P_1(y) − log P_2(y) + alpha L. Here
    the loss of the task is the mean over both passes, to which this one is added: `weight` = alpha / 2
    gives the paper's loss, divided by 2. The paper takes alpha = 0.1, 0.5 or 1 for GLUE, so `weight` =
    0.05, 0.25 or 0.5.

    For several labels a text, each is a yes or no of its own, and the mean over the known ones is
    taken, as in the task's loss; for numbers the mean square of the difference. Texts of which nothing
    is known take no part. It costs one more forward and backward pass over the task's texts. Where an
    encoder has no dropout (ModernBERT's own configuration has none) both passes are almost equal, and
    there is little to learn: `encoder.dropout` gives it some.
    """

    second_pass: ClassVar[bool] = True

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """Any task that answers a text has a second answer."""
        if tasks[of][0].answers == "nothing":
            raise EmomtlError(f"'{of}' answers no text", remedy="name a task with labels or numbers")

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The mean over texts with a known label, or over known labels or numbers."""
        if view.again is None:
            raise EmomtlError("R-Drop needs the answers of a second pass", remedy="give the view `again`")
        one, other = precise(view.own.logits), precise(view.again.logits)
        if view.own.exclusive:
            p, q = one.softmax(dim=1), other.softmax(dim=1)
            # KL(p || q) + KL(q || p) = sum_c (p_c - q_c) (log p_c - log q_c)
            log_ratio = one.log_softmax(dim=1) - other.log_softmax(dim=1)
            gaps, known = 0.5 * ((p - q) * log_ratio).sum(dim=1), view.own.targets >= 0
        elif view.own.taxonomy is not None:
            # the same for a yes or no with log-odds a and b: (p - q) (a - b)
            gaps, known = 0.5 * (one.sigmoid() - other.sigmoid()) * (one - other), ~view.own.targets.isnan()
        else:
            gaps, known = (one - other) ** 2, ~view.own.targets.isnan()
        return (gaps * known).sum() / known.sum().clamp(min=1)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    """Offer `r-drop`."""
    return {"r-drop": RDrop}

"""`r-drop`: two passes over the same text under different dropout should agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class RDrop(Objective):
    """R-Drop: L = ½ [KL(P_1 || P_2) + KL(P_2 || P_1)], of the predictions P_1, P_2 of two passes.

    Liang et al. (2021), arXiv:2106.14448, equations 2 to 4: −log P_1(y) − log P_2(y) + alpha L.
    Here the loss of the task is the mean over both passes, to which this one is added:
    `weight` = alpha / 2 gives the paper's loss, divided by 2. The paper takes alpha = 0.1, 0.5 or 1
    for GLUE, so `weight` = 0.05, 0.25 or 0.5.

    With several labels a text, each is a yes or no of its own, and L is the mean over the known
    ones, as in the task's loss; for numbers it is the mean squared difference. Texts of which
    nothing is known take no part. It costs one more forward and backward pass over the task's
    texts. In an encoder without dropout (ModernBERT's own configuration has none) both passes are
    almost equal, and there is little to learn: set `encoder.dropout`.
    """

    second_pass: ClassVar[bool] = True

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """`EmomtlError` for a task that answers with nothing; numbers will do."""
        if tasks[of][0].answers == "nothing":
            raise EmomtlError(
                f"'{of}' answers no text", remedy="name a task with labels or numbers"
            )

    def loss(self, module: nn.Module, view: View) -> Tensor:
        if view.again is None:
            problem = "R-Drop needs the answers of a second pass"
            raise EmomtlError(problem, remedy="give the view `again`")
        first, second = at_least_float32(view.own.logits), at_least_float32(view.again.logits)
        if view.own.exclusive:
            # KL(p || q) + KL(q || p) = sum_c (p_c - q_c) (log p_c - log q_c)
            p, q = first.softmax(dim=1), second.softmax(dim=1)
            log_ratio = first.log_softmax(dim=1) - second.log_softmax(dim=1)
            terms, known = 0.5 * ((p - q) * log_ratio).sum(dim=1), view.own.targets >= 0
        elif view.own.taxonomy is not None:
            # the same for a yes or no with log-odds a and b: (p - q) (a - b)
            p, q = first.sigmoid(), second.sigmoid()
            terms, known = 0.5 * (p - q) * (first - second), ~view.own.targets.isnan()
        else:
            terms, known = (first - second) ** 2, ~view.own.targets.isnan()
        return (terms * known).sum() / known.sum().clamp(min=1)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    return {"r-drop": RDrop}

"""`label-relations`: like probabilities for labels of one group, unlike ones across groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import at_least_float32, labels_known

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LabelRelations(Objective):
    """The regulariser of GoEmotions: L = mean over texts and labels i, j of R_ij (p_i − p_j)².

    Demszky et al. (2020), arXiv:2005.00547, as their published code has it. R_ij is 1 for labels of
    one sentiment, −1 for labels of two, 0 where either has none; p are the head's probabilities.
    The targets have no part in it, and L may be negative. The authors found that it does not help.

    `grouping` is the taxonomy's grouping that relates labels; left out, the last, which is the
    sentiment of GoEmotions. Labels of the groups in `apart` are related to none, as neutral is not
    among the authors' sentiments.

    Departure: texts without a known label take no part.
    """

    grouping: str | None = None
    apart: tuple[str, ...] = ("neutral",)

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """`EmomtlError` where the labels do not have the grouping, or none at all."""
        super().check(of, tasks)
        taxonomy = tasks[of][1]
        assert taxonomy is not None
        if not taxonomy.groupings:
            problem = f"the labels of '{of}' have no grouping"
            raise EmomtlError(problem, remedy="name a task with groupings")
        self._relations(taxonomy)

    def loss(self, module: nn.Module, view: View) -> Tensor:
        import torch

        assert view.own.taxonomy is not None
        logits = at_least_float32(view.own.logits)
        p = logits.softmax(dim=1) if view.own.exclusive else logits.sigmoid()
        relations = self._relations(view.own.taxonomy)
        r = torch.tensor(relations, dtype=p.dtype, device=p.device)
        squared_gaps = (p.unsqueeze(2) - p.unsqueeze(1)) ** 2  # (p_i - p_j)^2, (B, L, L)
        per_text = (squared_gaps * r).mean(dim=(1, 2))
        _, known = labels_known(view.own)
        return (per_text * known).sum() / known.sum().clamp(min=1)

    def _relations(self, taxonomy: Taxonomy) -> list[list[int]]:
        """R (L, L): 1 within a group, −1 between groups, 0 for labels of the groups in `apart`."""
        grouping = taxonomy.groupings[-1]
        if self.grouping is not None:
            grouping = taxonomy.grouping(self.grouping)
        parents = [grouping.parents[label] for label in taxonomy.names]
        relations = [[1 if i == j else -1 for j in parents] for i in parents]
        for row, i in zip(relations, parents, strict=True):
            for column, j in enumerate(parents):
                if i in self.apart or j in self.apart:
                    row[column] = 0
        return relations


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    return {"label-relations": LabelRelations}

"""Labels of one group are to be answered alike, labels of different groups apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import labels_known, precise

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LabelRelations(Objective):
    """The regulariser of GoEmotions' authors: L = mean over texts and pairs of labels i, j of R_ij (p_i − p_j)².

    Demszky et al. (2020), arXiv:2005.00547, as their published code has it: R_ij is 1 for labels of one sentiment, −1 for labels
    of two, 0 where either has none; p are the head's probabilities. It asks for like answers, whatever the targets are, and
    is below 0 where labels of different groups are answered apart. The authors found that it does not help.

    `grouping` is the taxonomy's that relates labels; left out, the last, which is the sentiment of GoEmotions. Labels of
    the groups in `apart` are related to none, as neutral is not in the authors' sentiments.

    Departure: texts without a known label take no part.
    """

    grouping: str | None = None
    apart: tuple[str, ...] = ("neutral",)

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """The labels have the grouping, or any."""
        super().check(of, tasks)
        taxonomy = tasks[of][1]
        assert taxonomy is not None
        if not taxonomy.groupings:
            raise EmomtlError(f"the labels of '{of}' have no grouping", remedy="name a task with groupings")
        _relations(taxonomy, self.grouping, self.apart)

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The mean over texts with a known label."""
        import torch

        assert view.own.taxonomy is not None
        logits = precise(view.own.logits)
        p = logits.softmax(dim=1) if view.own.exclusive else logits.sigmoid()
        relations = torch.tensor(_relations(view.own.taxonomy, self.grouping, self.apart), dtype=p.dtype, device=p.device)
        gaps = (p.unsqueeze(2) - p.unsqueeze(1)) ** 2
        known = labels_known(view.own)[1]
        return ((gaps * relations).mean(dim=(1, 2)) * known).sum() / known.sum().clamp(min=1)


def _relations(taxonomy: Taxonomy, name: str | None, apart: tuple[str, ...]) -> list[list[int]]:
    """R (L, L): 1 within a group, −1 between groups, 0 for labels of groups that stand apart."""
    grouping = taxonomy.groupings[-1] if name is None else taxonomy.grouping(name)
    parents = [grouping.parents[label] for label in taxonomy.names]
    return [[0 if one in apart or other in apart else 1 if one == other else -1 for other in parents] for one in parents]


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    """Offer `label-relations`."""
    return {"label-relations": LabelRelations}

"""What a fine head says, folded to coarser labels, has to be right there, too, and agree with a head for these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emomtl import Answers, EmomtlError, Grouping, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import precise

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Hierarchical(Objective):
    """Consistency over groupings: L = mean over groupings of BCE(folded probabilities, folded targets), plus the agreement.

    A coarse label holds where one of its members does (OR). `fold` says what its probability is. `"any"`:
    1 − prod(1 − p_c) over its members, as if they were independent, so that every member hears of a coarse mistake. `"max"`:
    the largest member's, the max constraint of Giunchiglia & Lukasiewicz (2020), arXiv:2010.10151. With one label a text
    (softmax) the probabilities of members are summed, whatever `fold` says, and the loss is the cross-entropy of the parents.

    `groupings` are the taxonomy's by name; left out, all of them; an empty list leaves this part away.

    `between` names the task of this run whose labels are those of one grouping, such as `goemotions-ekman`. Where both tasks
    read a text, the symmetric Kullback-Leibler divergence KL(p||q) + KL(q||p) between the folded fine answer p and that
    task's own answer q is added (the mean over its labels and the texts, no target needed). Gradients flow into both heads.

    Departures: in the paper a coarse label has an output of its own, too; here it has one only as another task. Partly known
    label sets count for the coarse labels that follow from them.
    """

    groupings: tuple[str, ...] | None = None
    fold: Literal["any", "max"] = "any"
    between: str | None = None

    @property
    def partners(self) -> tuple[str, ...]:
        """The task that `between` names."""
        return (self.between,) if self.between is not None else ()

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """The groupings are there, something is compared, and the labels of `between` are those of a grouping."""
        super().check(of, tasks)
        head, taxonomy = tasks[of]
        assert taxonomy is not None
        if not self._chosen(taxonomy) and self.between is None:
            remedy = "name a task with groupings" if not taxonomy.groupings else "leave `groupings` out, or name `between`"
            raise EmomtlError(f"there is nothing to compare the labels of '{of}' with", remedy=remedy)
        if self.between is None:
            return
        coarse_head, coarse = tasks[self.between]
        if coarse is None or _grouping_with(taxonomy, coarse) is None:
            found = f"the labels of '{self.between}' are those of no grouping of '{of}'"
            raise EmomtlError(found, remedy=f"its groupings: {', '.join(g.name for g in taxonomy.groupings) or 'none'}")
        if isinstance(head.encode(None, taxonomy), int) != isinstance(coarse_head.encode(None, coarse), int):
            found = f"'{of}' and '{self.between}' do not answer alike: one label a text, and several"
            raise EmomtlError(found, remedy="give both tasks the same kind of head")

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The consistency with targets, the mean over groupings, plus the agreement with the task that `between` names."""
        import torch

        own = view.own
        assert own.taxonomy is not None
        chosen = self._chosen(own.taxonomy)
        parts = [self._against_targets(own, own.taxonomy, grouping) for grouping in chosen]
        total = torch.stack(parts).mean() if parts else precise(own.logits).sum() * 0
        other = view.others.get(self.between or "")
        if other is not None and other.taxonomy is not None:
            grouping = _grouping_with(own.taxonomy, other.taxonomy)
            assert grouping is not None
            total = total + self._disagreement(own, other, own.taxonomy, grouping)
        return total

    def _chosen(self, taxonomy: Taxonomy) -> list[Grouping]:
        if self.groupings is None:
            return list(taxonomy.groupings)
        return [taxonomy.grouping(name) for name in self.groupings]

    def _folded(self, own: Answers, taxonomy: Taxonomy, grouping: Grouping, names: tuple[str, ...]) -> Tensor:
        """The logits of coarse labels (B, G) in the order of `names`; log-probabilities where a text has one label."""
        import torch

        logits = precise(own.logits)
        columns = [[taxonomy.index(member) for member in grouping.groups[name]] for name in names]
        if own.exclusive:
            logs = logits.log_softmax(dim=1)
            return torch.stack([logs[:, one].logsumexp(dim=1) for one in columns], dim=1)
        if self.fold == "max":
            return torch.stack([logits[:, one].amax(dim=1) for one in columns], dim=1)
        return torch.stack([_any(logits[:, one]) for one in columns], dim=1)

    def _against_targets(self, own: Answers, taxonomy: Taxonomy, grouping: Grouping) -> Tensor:
        """Cross-entropy of the folded answer and the folded targets, the mean over what is known; 0 where nothing is."""
        import torch
        from torch.nn import functional

        folded = self._folded(own, taxonomy, grouping, grouping.names)
        if own.exclusive:
            parents = [grouping.names.index(grouping.parents[name]) for name in taxonomy.names]
            known = own.targets >= 0
            wanted = torch.tensor(parents, device=own.targets.device)[own.targets.clamp(min=0)]
            picked = folded.gather(1, wanted.unsqueeze(1)).squeeze(1)
            return -(picked * known).sum() / known.sum().clamp(min=1)
        targets = _folded_targets(own.targets.to(folded.dtype), taxonomy, grouping)
        known = ~torch.isnan(targets)
        each = functional.binary_cross_entropy_with_logits(folded, torch.nan_to_num(targets), reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def _disagreement(self, own: Answers, other: Answers, taxonomy: Taxonomy, grouping: Grouping) -> Tensor:
        """The symmetric divergence of both answers, the mean over labels and over the n texts that both tasks read."""
        assert other.taxonomy is not None
        coarse = precise(other.logits)
        fine = self._folded(own, taxonomy, grouping, other.taxonomy.names)[: len(coarse)]
        if own.exclusive:
            coarse = coarse.log_softmax(dim=1)
            gaps = (fine.exp() - coarse.exp()) * (fine - coarse)
        else:
            gaps = (fine.sigmoid() - coarse.sigmoid()) * (fine - coarse)
        return gaps.mean()


def _grouping_with(taxonomy: Taxonomy, coarse: Taxonomy) -> Grouping | None:
    """The grouping that has just these coarse labels, in any order."""
    return next((one for one in taxonomy.groupings if set(one.names) == set(coarse.names)), None)


def _any(logits: Tensor) -> Tensor:
    """The logit (B,) of 1 − prod(1 − sigmoid(x)) over the columns of (B, M): log(e^a − 1) with a = sum of softplus(x)."""
    import torch
    from torch.nn import functional

    if logits.shape[1] == 1:
        return logits[:, 0]
    a = functional.softplus(logits).sum(dim=1).clamp(min=torch.finfo(logits.dtype).tiny)
    return a + torch.log(-torch.expm1(-a))


def _folded_targets(targets: Tensor, taxonomy: Taxonomy, grouping: Grouping) -> Tensor:
    """OR over members (B, G): the largest known member; NaN where a member is unknown and none is certain."""
    import torch

    columns = []
    for members in grouping.groups.values():
        part = targets[:, [taxonomy.index(member) for member in members]]
        largest = torch.nan_to_num(part, nan=-1.0).amax(dim=1)
        unknown = torch.isnan(part).any(dim=1) & (largest < 1)
        columns.append(torch.where(unknown, torch.nan, largest))
    return torch.stack(columns, dim=1)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    """Offer `hierarchical`."""
    return {"hierarchical": Hierarchical}

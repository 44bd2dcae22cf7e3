"""`hierarchical`: fine probabilities, folded to coarser labels, must be right there too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emomtl import EmomtlError, Grouping, Head, HeadOutput, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Hierarchical(Objective):
    """L = mean over groupings of BCE(folded probabilities, folded targets), plus an agreement.

    A coarse label holds where one of its members does (OR). `fold` says what its probability is.
    `"any"`: 1 − prod(1 − p_c) over its members, as if they were independent, so that every member
    learns from a coarse mistake. `"max"`: the largest member's, the max constraint of Giunchiglia &
    Lukasiewicz (2020), arXiv:2010.10151. With one label a text (softmax) the probabilities of
    members are summed, whatever `fold` says, and the loss is the cross-entropy of the parents.

    `groupings` are the taxonomy's by name; left out, all of them; an empty list leaves this part
    out.

    `between` names a task of this run whose labels are those of one grouping, such as
    `goemotions-ekman`. Where both tasks read a text, the symmetric Kullback-Leibler divergence
    KL(p||q) + KL(q||p) of the folded fine probabilities p and that task's own q is added (the mean
    over its labels and the texts; no target is needed). Gradients flow into both heads.

    Departures: in the paper a coarse label has an output of its own; here it has one only as
    another task. Partly known label sets count for the coarse labels that follow from them.
    """

    groupings: tuple[str, ...] | None = None
    fold: Literal["any", "max"] = "any"
    between: str | None = None

    @property
    def partners(self) -> tuple[str, ...]:
        return (self.between,) if self.between is not None else ()

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """`EmomtlError` where there is nothing to compare, or `between` has other labels."""
        super().check(of, tasks)
        head, taxonomy = tasks[of]
        assert taxonomy is not None
        if not self._chosen(taxonomy) and self.between is None:
            remedy = "leave `groupings` out, or name `between`"
            if not taxonomy.groupings:
                remedy = "name a task with groupings"
            problem = f"there is nothing to compare the labels of '{of}' with"
            raise EmomtlError(problem, remedy=remedy)
        if self.between is None:
            return
        coarse_head, coarse = tasks[self.between]
        if coarse is None or _grouping_with(taxonomy, coarse) is None:
            names = ", ".join(grouping.name for grouping in taxonomy.groupings)
            problem = f"the labels of '{self.between}' are those of no grouping of '{of}'"
            raise EmomtlError(problem, remedy=f"its groupings: {names or 'none'}")
        fine_is_exclusive = isinstance(head.encode(None, taxonomy), int)
        coarse_is_exclusive = isinstance(coarse_head.encode(None, coarse), int)
        if fine_is_exclusive != coarse_is_exclusive:
            problem = (
                f"one of '{of}' and '{self.between}' takes one label a text, the other several"
            )
            raise EmomtlError(problem, remedy="give both tasks the same kind of head")

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The consistency with the targets, plus the divergence from the task `between`."""
        import torch

        own = view.own
        assert own.taxonomy is not None
        total = at_least_float32(own.logits).sum() * 0  # a 0 that has a gradient
        parts = [self._consistency(own, grouping) for grouping in self._chosen(own.taxonomy)]
        if parts:
            total = torch.stack(parts).mean()
        other = view.others.get(self.between or "")
        if other is not None and other.taxonomy is not None:
            grouping = _grouping_with(own.taxonomy, other.taxonomy)
            assert grouping is not None
            total = total + self._divergence(own, other, grouping)
        return total

    def _chosen(self, taxonomy: Taxonomy) -> list[Grouping]:
        if self.groupings is None:
            return list(taxonomy.groupings)
        return [taxonomy.grouping(name) for name in self.groupings]

    def _folded(self, own: HeadOutput, grouping: Grouping, names: tuple[str, ...]) -> Tensor:
        """The coarse logits (B, G) in the order of `names`; log-probabilities if exclusive."""
        import torch

        assert own.taxonomy is not None
        logits = at_least_float32(own.logits)
        if own.exclusive:
            logits = logits.log_softmax(dim=1)
        folded = []
        for name in names:
            members = logits[:, _columns(own.taxonomy, grouping.groups[name])]
            if own.exclusive:
                folded.append(members.logsumexp(dim=1))  # log of the sum of probabilities
            elif self.fold == "max":
                folded.append(members.amax(dim=1))
            else:
                folded.append(_any_logit(members))
        return torch.stack(folded, dim=1)

    def _consistency(self, own: HeadOutput, grouping: Grouping) -> Tensor:
        """Cross-entropy of folded predictions and targets, the mean over known ones, 0 if none."""
        import torch
        from torch.nn import functional

        assert own.taxonomy is not None
        folded = self._folded(own, grouping, grouping.names)
        if own.exclusive:
            names = own.taxonomy.names
            parents = [grouping.names.index(grouping.parents[name]) for name in names]
            parent_of = torch.tensor(parents, device=own.targets.device)
            known = own.targets >= 0
            wanted = parent_of[own.targets.clamp(min=0)]
            losses = -folded.gather(1, wanted.unsqueeze(1)).squeeze(1)
            return (losses * known).sum() / known.sum().clamp(min=1)
        targets = _folded_targets(own.targets.to(folded.dtype), own.taxonomy, grouping)
        known = ~torch.isnan(targets)
        losses = functional.binary_cross_entropy_with_logits(
            folded, torch.nan_to_num(targets), reduction="none"
        )
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _divergence(self, own: HeadOutput, other: HeadOutput, grouping: Grouping) -> Tensor:
        """KL(p||q) + KL(q||p), the mean over labels and over the n texts that both tasks read."""
        assert other.taxonomy is not None
        coarse = at_least_float32(other.logits)
        fine = self._folded(own, grouping, other.taxonomy.names)[: len(coarse)]
        # KL(p||q) + KL(q||p) is the sum of (p - q) (log p - log q) over the outcomes. For a yes or
        # no with log-odds a and b that is (p - q) (a - b).
        if own.exclusive:
            coarse = coarse.log_softmax(dim=1)
            terms = (fine.exp() - coarse.exp()) * (fine - coarse)
        else:
            terms = (fine.sigmoid() - coarse.sigmoid()) * (fine - coarse)
        return terms.mean()


def _grouping_with(taxonomy: Taxonomy, coarse: Taxonomy) -> Grouping | None:
    """The grouping that has exactly these coarse labels, in any order."""
    for grouping in taxonomy.groupings:
        if set(grouping.names) == set(coarse.names):
            return grouping
    return None


def _columns(taxonomy: Taxonomy, members: tuple[str, ...]) -> list[int]:
    return [taxonomy.index(member) for member in members]


def _any_logit(logits: Tensor) -> Tensor:
    """The logit (B,) of 1 − prod_m(1 − sigmoid(x_m)) for the columns x_m of `logits` (B, M)."""
    import torch
    from torch.nn import functional

    if logits.shape[1] == 1:
        return logits[:, 0]
    # 1 - sigmoid(x) = e^-softplus(x), so the product is e^-a with a = sum_m softplus(x_m), and the
    # logit of 1 - e^-a is log(e^a - 1) = a + log(1 - e^-a).
    a = functional.softplus(logits).sum(dim=1).clamp(min=torch.finfo(logits.dtype).tiny)
    return a + torch.log(-torch.expm1(-a))


def _folded_targets(targets: Tensor, taxonomy: Taxonomy, grouping: Grouping) -> Tensor:
    """OR over members (B, G): the largest known one; NaN if a member is unknown and none is 1."""
    import torch

    columns = []
    for members in grouping.groups.values():
        part = targets[:, _columns(taxonomy, members)]
        largest = torch.nan_to_num(part, nan=-1.0).amax(dim=1)
        unknown = torch.isnan(part).any(dim=1) & (largest < 1)
        columns.append(torch.where(unknown, torch.nan, largest))
    return torch.stack(columns, dim=1)


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    return {"hierarchical": Hierarchical}

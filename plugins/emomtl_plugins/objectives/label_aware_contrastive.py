"""Contrast in which labels that are easily taken for each other count most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import contrast, jaccard, labels_known, precise, projection

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LabelAwareContrastive(Objective):
    """L = mean_i −(1/|P(i)|) sum_{p in P(i)} w_ip log[exp(z_i·z_p/t) / sum_{a != i} w_ia exp(z_i·z_a/t)].

    Suresh & Ong (2021), "Not All Negatives are Equal", EMNLP, as their published code has it: w_ia is the probability that a
    model gives, on text i, to the label of text a, so that a negative with a label that i is easily taken for is pushed away
    harder. P(i) and z are those of `supervised-contrastive`, and so are `temperature` and `projection`.

    `weights` says where w comes from. `"model"`: the task's own head, no gradient through it. `"vad"`: 1 − d/sqrt(3), d the
    distance of the labels' points of valence, arousal and dominance (the mean point of several). `"groupings"`:
    (1 + g)/(1 + G), where the labels share a parent in g of the taxonomy's G groupings. The last two are not the paper's.

    Departures: the paper trains a second encoder for w, with its own cross-entropy, and lets gradients through; here the head
    that is trained anyway gives w. With several labels a text, w_ia is the mean probability of a's labels (all labels, where
    it has none), and p counts by the Jaccard index. No augmented views.
    """

    temperature: Annotated[float, Gt(0)] = 0.3
    projection: Annotated[int, Ge(0)] = 0
    weights: Literal["model", "vad", "groupings"] = "model"

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """Labels, and for `vad` and `groupings` what these need of them."""
        super().check(of, tasks)
        taxonomy = tasks[of][1]
        assert taxonomy is not None
        bare = [label.name for label in taxonomy.labels if label.vad is None]
        if self.weights == "vad" and bare:
            found = f"weights = \"vad\": label '{bare[0]}' of '{of}' has no point of valence, arousal and dominance"
            raise EmomtlError(found, remedy='give each `Label` its `vad`, or weights = "model"')
        if self.weights == "groupings" and not taxonomy.groupings:
            raise EmomtlError(f"weights = \"groupings\": the labels of '{of}' have no grouping", remedy='weights = "model"')

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """The projection, (B, W) -> (B, `projection`)."""
        return projection(width, self.projection)

    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The loss over all pairs of texts."""
        sets, known = labels_known(view.own)
        made = {"model": self._by_model, "vad": _by_vad, "groupings": _by_groupings}[self.weights]
        return contrast(module(view.pooled.to(sets.dtype)), jaccard(sets), known, self.temperature, made(view, sets))

    @staticmethod
    def _by_model(view: View, sets: Tensor) -> Tensor:
        """w_ia (B, B): the mean probability that the head gives, on text i, to the labels of text a."""
        logits = precise(view.own.logits.detach())
        probabilities = logits.softmax(dim=1) if view.own.exclusive else logits.sigmoid()
        return probabilities @ _shares(sets).T


def _shares(sets: Tensor) -> Tensor:
    """Each label's part (B, L) of a text's label set, summing to 1; equal parts of all labels where it has none."""
    import torch

    size = sets.sum(dim=1, keepdim=True)
    return torch.where(size > 0, sets / torch.where(size > 0, size, 1), 1 / sets.shape[1])


def _by_vad(view: View, sets: Tensor) -> Tensor:
    """w_ia (B, B), 1 for label sets with the same mean point and 0 for opposite corners of the cube."""
    import torch

    assert view.own.taxonomy is not None
    points = torch.tensor([label.vad for label in view.own.taxonomy.labels], dtype=sets.dtype, device=sets.device)
    means = _shares(sets) @ points
    squared = ((means.unsqueeze(1) - means.unsqueeze(0)) ** 2).sum(dim=2)
    return 1 - squared.sqrt() / math.sqrt(3)


def _by_groupings(view: View, sets: Tensor) -> Tensor:
    """w_ia (B, B) from (1 / (1 + G)), no parent shared, to 1, one shared in every grouping."""
    import torch

    taxonomy = view.own.taxonomy
    assert taxonomy is not None
    shared = torch.ones(len(sets), len(sets), dtype=sets.dtype, device=sets.device)
    for grouping in taxonomy.groupings:
        parents = [grouping.names.index(grouping.parents[name]) for name in taxonomy.names]
        columns = torch.tensor(parents, device=sets.device)
        of_parents = sets.new_zeros(len(sets), len(grouping.names)).index_add(1, columns, (sets > 0).to(sets.dtype))
        shared = shared + (of_parents @ of_parents.T > 0).to(sets.dtype)
    return shared / (1 + len(taxonomy.groupings))


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    """Offer `label-aware-contrastive`."""
    return {"label-aware-contrastive": LabelAwareContrastive}

"""`label-aware-contrastive`: contrast in which easily confused labels count most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from emomtl import EmomtlError, Head, Objective, Taxonomy, View, hookimpl
from emomtl_plugins.objectives.pairs import (
    at_least_float32,
    contrast,
    jaccard,
    labels_known,
    projection,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LabelAwareContrastive(Objective):
    """L = mean_i −(1/|P(i)|) sum_p w_ip log[exp(z_i·z_p/t) / sum_{a != i} w_ia exp(z_i·z_a/t)].

    Suresh & Ong (2021), "Not All Negatives are Equal", EMNLP, as their published code has it; p
    runs over P(i). w_ia is the probability that a model gives, on text i, to the label of text a,
    so a negative whose label is easily confused with that of i is pushed away harder. P(i) and z
    are those of `supervised-contrastive`, and so are `temperature` and `projection`.

    `weights` says where w comes from. `"model"`: the task's own head, no gradient through it.
    `"vad"`: 1 − d/sqrt(3), d the distance of the labels' points of valence, arousal and dominance
    (the mean point of several). `"groupings"`: (1 + g)/(1 + G), where the labels share a parent in
    g of the taxonomy's G groupings. The last two are not the paper's.

    Departures: the paper trains a second encoder for w, with its own cross-entropy, and lets
    gradients through; here the head that is trained anyway gives w. With several labels a text,
    w_ia is the mean probability of a's labels (of all labels, where it has none), and p counts by
    the Jaccard index. There are no augmented views.
    """

    temperature: Annotated[float, Gt(0)] = 0.3
    projection: Annotated[int, Ge(0)] = 0
    weights: Literal["model", "vad", "groupings"] = "model"

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """`EmomtlError` where the labels lack the points or groupings that `weights` asks for."""
        super().check(of, tasks)
        taxonomy = tasks[of][1]
        assert taxonomy is not None
        without_vad = [label.name for label in taxonomy.labels if label.vad is None]
        if self.weights == "vad" and without_vad:
            problem = (
                f"weights = \"vad\": label '{without_vad[0]}' of '{of}' has no point of valence, "
                "arousal and dominance"
            )
            remedy = 'give each `Label` its `vad`, or weights = "model"'
            raise EmomtlError(problem, remedy=remedy)
        if self.weights == "groupings" and not taxonomy.groupings:
            problem = f"weights = \"groupings\": the labels of '{of}' have no grouping"
            raise EmomtlError(problem, remedy='weights = "model"')

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """The projection, (B, W) -> (B, `projection`)."""
        return projection(width, self.projection)

    def loss(self, module: nn.Module, view: View) -> Tensor:
        label_sets, known = labels_known(view.own)
        vectors = module(view.pooled.to(label_sets.dtype))
        weights_of = {"model": _by_model, "vad": _by_vad, "groupings": _by_groupings}[self.weights]
        weights = weights_of(view, label_sets)
        return contrast(vectors, jaccard(label_sets), known, self.temperature, weights)


def _by_model(view: View, label_sets: Tensor) -> Tensor:
    """w_ia (B, B): the mean probability that the head gives, on text i, to the labels of text a."""
    logits = at_least_float32(view.own.logits.detach())
    probabilities = logits.softmax(dim=1) if view.own.exclusive else logits.sigmoid()
    return probabilities @ _shares(label_sets).T


def _shares(label_sets: Tensor) -> Tensor:
    """Label sets (B, L) scaled to sum to 1; equal shares of all labels where a text has none."""
    import torch

    size = label_sets.sum(dim=1, keepdim=True)
    scaled = label_sets / torch.where(size > 0, size, 1)
    return torch.where(size > 0, scaled, 1 / label_sets.shape[1])


def _by_vad(view: View, label_sets: Tensor) -> Tensor:
    """w_ia (B, B): 1 for sets with the same mean point, 0 for opposite corners of the cube."""
    import torch

    assert view.own.taxonomy is not None
    vad = [label.vad for label in view.own.taxonomy.labels]
    points = torch.tensor(vad, dtype=label_sets.dtype, device=label_sets.device)
    means = _shares(label_sets) @ points
    squared_distances = ((means.unsqueeze(1) - means.unsqueeze(0)) ** 2).sum(dim=2)
    # sqrt(3) is the longest distance in the unit cube
    return 1 - squared_distances.sqrt() / math.sqrt(3)


def _by_groupings(view: View, label_sets: Tensor) -> Tensor:
    """w_ia (B, B): (1 + g) / (1 + G), with a shared parent in g of the G groupings."""
    import torch

    taxonomy = view.own.taxonomy
    assert taxonomy is not None
    size, dtype, device = len(label_sets), label_sets.dtype, label_sets.device
    shared = torch.ones(size, size, dtype=dtype, device=device)
    has_label = (label_sets > 0).to(dtype)
    for grouping in taxonomy.groupings:
        parents = [grouping.names.index(grouping.parents[name]) for name in taxonomy.names]
        columns = torch.tensor(parents, device=device)
        parent_counts = label_sets.new_zeros(size, len(grouping.names))
        parent_counts = parent_counts.index_add(1, columns, has_label)
        shared = shared + (parent_counts @ parent_counts.T > 0).to(dtype)
    return shared / (1 + len(taxonomy.groupings))


@hookimpl
def emomtl_objectives() -> dict[str, type[Objective]]:
    return {"label-aware-contrastive": LabelAwareContrastive}

"""Pairs of texts in a batch: how alike their labels are, and the contrastive loss over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl import Answers


def precise(x: Tensor) -> Tensor:
    """The same numbers in fp32, or in fp64 where they are: bf16 has too few digits for a softmax over a batch."""
    import torch

    return x if x.dtype == torch.float64 else x.float()


def labels_known(own: Answers) -> tuple[Tensor, Tensor]:
    """Label sets (B, L) in 0..1 without NaN, and which texts (B,) have every label known; the others' rows are all 0."""
    import torch

    sets = precise(own.label_sets())
    known = ~torch.isnan(sets).any(dim=1)
    return torch.nan_to_num(sets) * known.unsqueeze(1), known


def jaccard(sets: Tensor) -> Tensor:
    """The Jaccard index of every two label sets (B, B): sum of minima over sum of maxima; 0 where both are empty."""
    import torch

    one, other = sets.unsqueeze(1), sets.unsqueeze(0)
    shared, all_of_them = torch.minimum(one, other).sum(dim=2), torch.maximum(one, other).sum(dim=2)
    return shared / torch.where(all_of_them > 0, all_of_them, 1)


def projection(width: int, to: int) -> nn.Module:
    """The projection of Khosla et al.: two linear layers with a ReLU between them; where `to` is 0, the vectors themselves."""
    from torch import nn

    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, to)) if to else nn.Identity()


def contrast(vectors: Tensor, positives: Tensor, known: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """The mean over anchors i of −(1/P_i) sum_p w_ip J_ip log[exp(s_ip/t) / sum_a w_ia exp(s_ia/t)], P_i = sum_p J_ip.

    `vectors` (B, D) are scaled to length 1, s are their cosines and t the `temperature`; `positives` J (B, B) in 0..1 say how
    much p is a positive of i; a runs over the `known` (B,) texts but i. Without `weights` w (B, B), 0 <= w, every w is 1. An
    anchor without a positive is left out of the mean; without any anchor the loss is 0.
    """
    import torch
    from torch.nn import functional

    unit = functional.normalize(precise(vectors), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    beside = known.unsqueeze(0) & known.unsqueeze(1) & ~itself
    lowest = torch.finfo(unit.dtype).min / 4
    scores = unit @ unit.T / temperature
    weighted = scores if weights is None else scores + torch.log(weights.clamp(min=torch.finfo(unit.dtype).tiny))
    normal = torch.logsumexp(weighted.masked_fill(~beside, lowest), dim=1, keepdim=True)
    counted = positives * beside
    terms = counted * (scores - normal).masked_fill(~beside, 0.0)
    per_anchor = (terms if weights is None else terms * weights).sum(dim=1)
    mass = counted.sum(dim=1)
    anchors = mass > 0
    return -(per_anchor / torch.where(anchors, mass, 1)).sum() / anchors.sum().clamp(min=1)

"""Pairs of texts in a batch: how similar their labels are, and the contrastive loss over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl import HeadOutput


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 if they are: bf16 is too coarse for a softmax."""
    import torch

    return x if x.dtype == torch.float64 else x.float()


def labels_known(own: HeadOutput) -> tuple[Tensor, Tensor]:
    """Label sets (B, L) in 0..1 without NaN, and which texts (B,) have all labels known.

    The label set of a text with an unknown label is all 0.
    """
    import torch

    label_sets = at_least_float32(own.label_sets())
    known = ~torch.isnan(label_sets).any(dim=1)
    return torch.nan_to_num(label_sets) * known.unsqueeze(1), known


def jaccard(label_sets: Tensor) -> Tensor:
    """The Jaccard index of every two label sets (B, L) -> (B, B); 0 where both are empty."""
    import torch

    # sum_l min(a_l, b_l) / sum_l max(a_l, b_l)
    rows, columns = label_sets.unsqueeze(1), label_sets.unsqueeze(0)
    shared = torch.minimum(rows, columns).sum(dim=2)
    united = torch.maximum(rows, columns).sum(dim=2)
    return shared / torch.where(united > 0, united, 1)


def projection(width: int, to: int) -> nn.Module:
    """Khosla et al.'s projection, linear, ReLU, linear; the identity where `to` is 0."""
    from torch import nn

    if not to:
        return nn.Identity()
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, to))


def contrast(
    vectors: Tensor,
    positives: Tensor,
    known: Tensor,
    temperature: float,
    weights: Tensor | None = None,
) -> Tensor:
    """mean_i −(1/P_i) sum_p w_ip J_ip log[exp(s_ip/t) / sum_a w_ia exp(s_ia/t)], P_i = sum_p J_ip.

    `vectors` (B, D) are scaled to length 1, s are their cosines and t is the `temperature`.
    `positives` J (B, B) in 0..1 say how much p is a positive of the anchor i, and a runs over the
    `known` (B,) texts other than i. `weights` w (B, B) are >= 0; without them every w is 1. An
    anchor without a positive is left out of the mean; without any anchor the loss is 0.
    """
    import torch
    from torch.nn import functional

    unit = functional.normalize(at_least_float32(vectors), dim=1)
    is_self = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    others = known.unsqueeze(0) & known.unsqueeze(1) & ~is_self
    scores = unit @ unit.T / temperature  # s_ia / t
    # log sum_a w_ia exp(s_ia/t) = logsumexp_a(s_ia/t + log w_ia). What is masked gets a finite
    # number and not -inf, whose gradient would be NaN in a row without any other text.
    log_weighted = scores
    if weights is not None:
        log_weighted = scores + torch.log(weights.clamp(min=torch.finfo(unit.dtype).tiny))
    lowest = torch.finfo(unit.dtype).min / 4
    normaliser = torch.logsumexp(log_weighted.masked_fill(~others, lowest), dim=1, keepdim=True)
    counted = positives * others  # J_ip
    terms = counted * (scores - normaliser).masked_fill(~others, 0.0)
    if weights is not None:
        terms = terms * weights
    mass = counted.sum(dim=1)  # P_i
    anchors = mass > 0
    per_anchor = terms.sum(dim=1) / torch.where(anchors, mass, 1)
    return -per_anchor.sum() / anchors.sum().clamp(min=1)

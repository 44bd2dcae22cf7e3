"""Losses for rare labels and for labels in doubt, and what constant answers cost under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

TINY = 1e-8
"""The smallest base of a power: below it the gradient of x^gamma with gamma < 1 is infinite."""

WIDEST, ITERATIONS = 60.0, 90
"""The best constant logit is looked for in -60..60, in 90 steps that each leave 62% of the range.
"""


@dataclass(frozen=True)
class Focus:
    """How much less a loss counts labels that are answered rightly with a high probability.

    `gamma_pos` and `gamma_neg` are the exponents for labels that hold and that do not; with one
    number for both it is focal loss. `clip` is the probability up to which a label that does not
    hold costs nothing. With zeros it is the cross-entropy.
    """

    gamma_pos: float = 0.0
    gamma_neg: float = 0.0
    clip: float = 0.0

    def __bool__(self) -> bool:
        """Whether it differs from a cross-entropy."""
        return bool(self.gamma_pos or self.gamma_neg or self.clip)


def binary_terms(logits: Tensor, focus: Focus) -> tuple[Tensor, Tensor]:
    """What each label costs where it holds, and where it does not, (B, L) each.

    Departure: both factors of the asymmetric loss have their gradients, as in the paper's formulas;
    the code of Ridnik et al. leaves those out by default.
    """
    import torch
    from torch.nn import functional

    # With p = sigmoid(logit):
    #   cross-entropy   -ln p                      -ln(1 - p)
    # focal           -(1 - p)^gamma ln p        -p^gamma ln(1 - p)       (Lin et al., 2017, eq. 4)
    #   asymmetric      -(1 - p)^gamma_pos ln p    -p_m^gamma_neg ln(1 - p_m)
    #                   with p_m = max(p - clip, 0)    (Ridnik et al., 2021, "ASL definition")
    log_p, log_not_p = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    holds, lacks = -log_p, -log_not_p
    if focus.gamma_pos:
        holds = torch.exp(focus.gamma_pos * log_not_p) * holds
    if focus.clip:
        p_m = (torch.sigmoid(logits) - focus.clip).clamp(min=0)
        lacks = -torch.log1p(-p_m)
        if focus.gamma_neg:
            lacks = p_m.clamp(min=TINY) ** focus.gamma_neg * lacks
    elif focus.gamma_neg:
        lacks = torch.exp(focus.gamma_neg * log_p) * lacks
    return holds, lacks


def softmax_terms(logits: Tensor, gamma: float) -> Tensor:
    """What each label costs where it is the one that holds, (B, L)."""
    import torch
    from torch.nn import functional

    # With q = softmax(logits): cross-entropy -ln q, focal -(1 - q)^gamma ln q (Lin et al., 2017,
    # equation 4, on a softmax); 1 - q = -expm1(ln q).
    log_q = functional.log_softmax(logits, dim=-1)
    if not gamma:
        return -log_q
    return (-torch.expm1(log_q)).clamp(min=TINY) ** gamma * -log_q


def smoothed(targets: Any, epsilon: float, answers: int) -> Any:
    """A part of each target is spread evenly over its K `answers` (Szegedy et al., 2016, section
    7).

    K is the number of labels under a softmax, and 2 under a sigmoid.
    """
    # (1 - epsilon) y + epsilon / K
    return targets * (1 - epsilon) + epsilon / answers if epsilon else targets


def best_constants(holds: NDArray[Any], lacks: NDArray[Any], focus: Focus) -> NDArray[Any]:
    """The least that one logit for each label can cost, (L,).

    `holds` and `lacks` are how much each answer to a label counts, a mean over rows.
    """
    import numpy as np
    import torch
    from scipy.special import entr

    if not focus:
        # For a cross-entropy the best p is holds / (holds + lacks), which costs the entropy.
        total = holds + lacks
        p = holds / np.where(total > 0, total, 1.0)
        return np.asarray(total * (entr(p) + entr(1 - p)))

    # min over z of holds_c l_pos(z) + lacks_c l_neg(z) has no closed form for the others, but both
    # terms are convex in p, so the sum has one minimum.
    def cost(z: NDArray[Any]) -> NDArray[Any]:
        positive, negative = binary_terms(torch.from_numpy(z), focus)
        return np.asarray(holds * positive.numpy() + lacks * negative.numpy())

    return _minimum(cost, len(holds))


def _minimum(cost: Callable[[NDArray[Any]], NDArray[Any]], size: int) -> NDArray[Any]:
    """The minima of functions with one minimum each, by golden-section search (Kiefer, 1953)."""
    import numpy as np

    ratio = (5**0.5 - 1) / 2
    low, high = np.full(size, -WIDEST), np.full(size, WIDEST)
    for _ in range(ITERATIONS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        go_left = cost(left) <= cost(right)
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    return cost((low + high) / 2)


def best_constant(counts: NDArray[Any], gamma: float) -> float:
    """The least that one distribution over the labels can cost.

    `counts` (L,) are how much each label counts, a mean over rows.
    """
    import numpy as np
    from scipy.special import entr

    counts = counts[counts > 0]
    total = float(counts.sum())
    if len(counts) < 2:
        return 0.0
    if not gamma:
        # min over q of -sum_c counts_c ln q_c is at q = counts / sum(counts).
        return float(total * entr(counts / total).sum())

    # Focal loss f(q) = -(1 - q)^gamma ln q is convex too, and has a slope of 0 at q = 1. At the
    # minimum all counts_c f'(q_c) are one number -s. So q_c falls with s, and bisection finds first
    # q_c(s), then the s at which the q_c sum to 1.
    def slope(q: NDArray[Any]) -> NDArray[Any]:
        # f'(q) = gamma (1 - q)^(gamma - 1) ln q - (1 - q)^gamma / q
        falling = gamma * (1 - q) ** (gamma - 1) * np.log(q)
        return np.asarray(falling - (1 - q) ** gamma / q)

    def shares(log_s: float) -> NDArray[Any]:
        low, high = np.full(len(counts), -700.0), np.full(len(counts), -1e-15)  # of ln q
        for _ in range(ITERATIONS):
            middle = (low + high) / 2
            too_steep = counts * slope(np.exp(middle)) < -np.exp(log_s)
            low, high = np.where(too_steep, middle, low), np.where(too_steep, high, middle)
        return np.asarray(np.exp((low + high) / 2))

    low, high = -60.0, 60.0
    for _ in range(ITERATIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if shares(middle).sum() > 1 else (low, middle)
    q = shares((low + high) / 2)
    return float((counts * (1 - q) ** gamma * -np.log(q)).sum())

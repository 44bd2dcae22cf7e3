"""Losses for rare labels and for labels that people disagree on, and what constant answers cost under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

TINY = 1e-8
"""The smallest base of a power: below it the gradient of x^gamma with gamma < 1 is infinite."""

WIDEST, HALVINGS = 60.0, 90
"""Logits between which the best constant is looked for, and steps, each of which leaves 62% of the range."""


@dataclass(frozen=True)
class Focus:
    """By how much a loss counts labels less that are answered rightly and surely.

    Zeros are the cross-entropy. `gamma_pos` and `gamma_neg` are the exponents for labels that hold and
    that do not; one number for both is focal loss. `clip` is the probability up to which a label that
    does not hold costs nothing.
    """

    gamma_pos: float = 0.0
    gamma_neg: float = 0.0
    clip: float = 0.0

    def __bool__(self) -> bool:
        """Whether it differs from a cross-entropy."""
        return bool(self.gamma_pos or self.gamma_neg or self.clip)


def binary_terms(logits: Tensor, focus: Focus) -> tuple[Tensor, Tensor]:
    """What each label costs where it holds, and where it does not, (B, L) each; p = sigmoid(logit).

    Cross-entropy: -ln p and -ln(1 - p). Focal (Lin et al., 2017, eq. 4): -(1 - p)^gamma ln p and
    -p^gamma ln(1 - p). Asymmetric (Ridnik et al., 2021, "ASL definition"): -(1 - p)^gamma_pos ln p and
    -p_m^gamma_neg ln(1 - p_m) with p_m = max(p - clip, 0). Both factors have their gradients, as in the papers'
    formulas; the code of Ridnik et al. leaves those out by default.
    """
    import torch
    from torch.nn import functional

    log_p, log_not_p = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    holds, lacks = -log_p, -log_not_p
    if focus.gamma_pos:
        holds = torch.exp(focus.gamma_pos * log_not_p) * holds
    if focus.clip:
        shifted = (torch.sigmoid(logits) - focus.clip).clamp(min=0)
        lacks = -torch.log1p(-shifted)
        if focus.gamma_neg:
            lacks = shifted.clamp(min=TINY) ** focus.gamma_neg * lacks
    elif focus.gamma_neg:
        lacks = torch.exp(focus.gamma_neg * log_p) * lacks
    return holds, lacks


def softmax_terms(logits: Tensor, gamma: float) -> Tensor:
    """What each label costs where it is the one that holds, (B, L); q = softmax(logits).

    Cross-entropy: -ln q. Focal (Lin et al., 2017, eq. 4, on a softmax): -(1 - q)^gamma ln q.
    """
    import torch
    from torch.nn import functional

    log_q = functional.log_softmax(logits, dim=-1)
    if not gamma:
        return -log_q
    return (-torch.expm1(log_q)).clamp(min=TINY) ** gamma * -log_q


def smoothed(targets: Any, epsilon: float, answers: int) -> Any:
    """(1 - epsilon) y + epsilon / K: a part of each target is spread evenly over its K answers.

    Szegedy et al. (2016, section 7). K is the number of labels under a softmax, and 2 under a sigmoid.
    """
    return targets * (1 - epsilon) + epsilon / answers if epsilon else targets


def best_constants(holds: NDArray[Any], lacks: NDArray[Any], focus: Focus) -> NDArray[Any]:
    """The least that one logit a label can cost, (L,): min over z of holds_c l_pos(z) + lacks_c l_neg(z).

    `holds` and `lacks` are how much each answer of a label counts, a mean over rows. For a
    cross-entropy the best p is holds / (holds + lacks). The others have no closed form, but both terms are
    convex in p, so their sum has one minimum; golden-section search finds it.
    """
    import numpy as np
    import torch
    from scipy.special import entr

    if not focus:
        whole = holds + lacks
        p = holds / np.where(whole > 0, whole, 1.0)
        return np.asarray(whole * (entr(p) + entr(1 - p)))

    def cost(z: NDArray[Any]) -> NDArray[Any]:
        positive, negative = binary_terms(torch.from_numpy(z), focus)
        return np.asarray(holds * positive.numpy() + lacks * negative.numpy())

    return _least(cost, len(holds))


def _least(cost: Callable[[NDArray[Any]], NDArray[Any]], size: int) -> NDArray[Any]:
    """The minimum of functions with one minimum each, by golden-section search (Kiefer, 1953)."""
    import numpy as np

    ratio = (5**0.5 - 1) / 2
    low, high = np.full(size, -WIDEST), np.full(size, WIDEST)
    for _ in range(HALVINGS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        go_left = cost(left) <= cost(right)
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    return cost((low + high) / 2)


def best_constant(counts: NDArray[Any], gamma: float) -> float:
    """The least that one distribution q can cost: min over q of sum_c counts_c f(q_c).

    `counts` (L,) are how much each label counts, a mean over rows. f(q) = -ln q has the minimum at
    q = counts / sum(counts). With focal loss f(q) = -(1 - q)^gamma ln q is convex, too, and falls to a slope of 0
    at q = 1. At the minimum all counts_c f'(q_c) are one number -s, so q_c(s) falls with s, and the s at which
    the q_c sum to 1 is found by halving; so is q_c(s).
    """
    import numpy as np
    from scipy.special import entr

    counts = counts[counts > 0]
    whole = float(counts.sum())
    if len(counts) < 2:
        return 0.0
    if not gamma:
        return float(whole * entr(counts / whole).sum())

    def slope(q: NDArray[Any]) -> NDArray[Any]:
        # f'(q) = gamma (1 - q)^(gamma - 1) ln q - (1 - q)^gamma / q
        falling = gamma * (1 - q) ** (gamma - 1) * np.log(q)
        return np.asarray(falling - (1 - q) ** gamma / q)

    def shares(log_s: float) -> NDArray[Any]:
        low, high = np.full(len(counts), -700.0), np.full(len(counts), -1e-15)  # of ln q
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            too_steep = counts * slope(np.exp(middle)) < -np.exp(log_s)
            low, high = np.where(too_steep, middle, low), np.where(too_steep, high, middle)
        return np.asarray(np.exp((low + high) / 2))

    low, high = -60.0, 60.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if shares(middle).sum() > 1 else (low, middle)
    q = shares((low + high) / 2)
    return float((counts * (1 - q) ** gamma * -np.log(q)).sum())

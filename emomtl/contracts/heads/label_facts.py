"""What a loss takes from the training rows: the weight of each label, and how frequent it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types

from emomtl.errors import EmomtlError, clean, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, device

LabelWeight = Annotated[float, annotated_types.Gt(0), annotated_types.Le(1e6)]
Weights = Literal["balanced", "effective-number"] | Mapping[str, LabelWeight]
"""How labels are weighted: by their counts, by their effective numbers, or by numbers of one's own.
"""

BETA = 0.999
"""The default of Cui et al. (2019) for corpora of some thousand rows; they try 0.9 to 0.9999."""

MOST_SHOWN = 3


@dataclass(frozen=True)
class LabelFacts:
    """For each label (L,) the factor of its loss, and what is added to its logit.

    `labels` is their number L, where a head cannot tell it from its targets.
    """

    weights: NDArray[Any] | None = None
    offsets: NDArray[Any] | None = None
    labels: int = 0
    _on_device: dict[tuple[str, str], Tensor] = field(
        default_factory=dict, repr=False, compare=False
    )

    def on(self, which: Literal["weights", "offsets"], where: device) -> Tensor | None:
        """The numbers as float32 on a device, copied there once."""
        numbers = getattr(self, which)
        if numbers is None:
            return None
        key = (which, str(where))
        if key not in self._on_device:
            import torch

            self._on_device[key] = torch.tensor(numbers, dtype=torch.float32, device=where)
        return self._on_device[key]


def effective_number(rows: NDArray[Any], beta: float) -> NDArray[Any]:
    """What n rows of a label are worth (Cui et al., 2019, proposition 1).

    With beta = 0 every label is worth one row; with beta towards 1 it is worth all its rows.
    """
    import numpy as np

    if beta == 0:
        return np.ones_like(rows, dtype=np.float64)
    # E_n = (1 - beta^n) / (1 - beta); 1 - beta^n = -expm1(n ln beta) keeps its digits where beta^n
    # is almost 1
    return -np.expm1(rows * math.log(beta)) / (1 - beta)


def label_weights(
    asked: Weights, beta: float | None, rows: NDArray[Any], names: Sequence[str]
) -> NDArray[Any]:
    """The weights w (L,) of labels of which a text has exactly one; `rows` (L,) have each.

    "balanced": w_c is proportional to 1 / n_c (King and Zeng, 2001; scikit-learn's `balanced`).
    "effective-number": to 1 / E_(n_c) (class-balanced loss; Cui et al., 2019). They are scaled to a
    mean of 1 over the rows, so the loss over all training rows is that of torch's
    `CrossEntropyLoss(weight=w)`; Cui et al. scale them to a sum of L, another constant. A label
    without rows has the smallest weight.
    """
    import numpy as np

    has_rows = rows > 0
    at_least_some = np.maximum(rows, 1e-12)
    if asked == "balanced":
        weights = 1 / at_least_some
    elif asked == "effective-number":
        weights = 1 / effective_number(at_least_some, BETA if beta is None else beta)
    else:
        weights = given_weights(asked, names)
    if has_rows.any() and isinstance(asked, str):
        weights = np.where(has_rows, weights, weights[has_rows].min())
    total = float((weights * rows).sum())
    return weights * (float(rows.sum()) / total) if total > 0 else np.ones(len(rows))


def positive_weights(
    asked: Weights,
    beta: float | None,
    holds: NDArray[Any],
    lacks: NDArray[Any],
    names: Sequence[str],
) -> NDArray[Any]:
    """The weights (L,) of rows that have a label, relative to 1 for those that lack it.

    "balanced": lacks / holds, as torch's `BCEWithLogitsLoss(pos_weight)` advises.
    "effective-number": E_lacks / E_holds, the weights of Cui et al. (2019) for the two answers to
    one label, divided by that of "lacks". A label that all rows have, or none, keeps 1: nothing can
    be balanced.
    """
    import numpy as np

    if not isinstance(asked, str):
        return given_weights(asked, names)
    both = (holds > 0) & (lacks > 0)
    holds, lacks = np.where(both, holds, 1.0), np.where(both, lacks, 1.0)
    if asked == "effective-number":
        beta = BETA if beta is None else beta
        holds, lacks = effective_number(holds, beta), effective_number(lacks, beta)
    return np.asarray(lacks / holds)


def given_weights(asked: Mapping[str, float], names: Sequence[str]) -> NDArray[Any]:
    """Weights by name as an array (L,); labels that are not named have 1."""
    import numpy as np

    weights = np.ones(len(names))
    for name, weight in asked.items():
        if name not in names:
            problem = f"weighs '{clean(name, 40)}', which is no label"
            raise EmomtlError(problem, remedy=suggest(name, names))
        weights[list(names).index(name)] = weight
    return weights


def log_prior(tau: float, rows: NDArray[Any]) -> NDArray[Any]:
    """What is added to the logits (L,) in training (Menon et al., 2021, equation 10).

    A label without rows counts as having one.
    """
    import numpy as np

    # tau ln pi_c, with pi_c the share of the rows that have label c
    counts = np.maximum(rows, 1.0)
    return np.asarray(tau * np.log(counts / counts.sum()))


def log_prior_odds(tau: float, holds: NDArray[Any], lacks: NDArray[Any]) -> NDArray[Any]:
    """The same for labels that are each answered with yes or no.

    With a small tau it is the bias of Wu et al. (2020, "negative-tolerant regularisation", kappa).
    """
    import numpy as np

    # The softmax of Menon et al. (2021, equation 10) over two answers is the sigmoid of the
    # difference of their logits. So the difference of their priors' logs is added:
    # tau ln(pi_c / (1 - pi_c)).
    return np.asarray(tau * np.log(np.maximum(holds, 1.0) / np.maximum(lacks, 1.0)))


def weights_in_words(option: str, weights: NDArray[Any], names: Sequence[str]) -> str:
    """The largest and the smallest weights, by label."""
    order = weights.argsort(kind="stable")
    if len(order) <= 2 * MOST_SHOWN:
        return f"{option}: {_listed(order[::-1], weights, names)}"
    largest = _listed(order[::-1][:MOST_SHOWN], weights, names)
    smallest = _listed(order[:MOST_SHOWN], weights, names)
    return f"{option}: from {smallest} to {largest}"


def _listed(positions: NDArray[Any], weights: NDArray[Any], names: Sequence[str]) -> str:
    return ", ".join(f"{clean(names[i], 40)} {weights[i]:.3g}" for i in positions)

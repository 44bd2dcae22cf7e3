"""How bad wrong answers are: whether they stay in the right group, and how far they lie in valence,
arousal and dominance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emomtl.metrics.bootstrap import BootstrapEstimate, bootstrap_mean
from emomtl.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 500
"""Permutations that are held at a time."""


def severity(
    cost: NDArray[np.float64],
    gold: NDArray[np.int64],
    predicted: NDArray[np.int64],
    counts: NDArray[np.float32],
    better: Literal["greater", "less"],
    permutations: int,
    seed: int,
) -> BootstrapEstimate:
    """The mean of `cost[gold, predicted]` (L, L; NaN where undefined) over the texts whose top
    label is wrong.

    With a cost of 1 inside a group and 0 between groups that is the share of wrong answers that
    stay in the group; with distances it is the mean distance of a wrong answer. Two baselines:

    - `chance`: for each wrong text another label, drawn by how frequent labels are among all texts;
    - `shuffled`: the model's own wrong answers, dealt anew among the wrong texts, where they are
      still wrong. It knows which
      labels the model likes to answer, and nothing of the texts.

    `p` = (1 + b) / (1 + n): of n random deals, b give a mean at least as good as the one found
    (`better`).
    """
    known = np.isfinite(cost[gold, predicted])
    wrong = (gold != predicted) & known
    if not wrong.any():
        return BootstrapEstimate(None)
    each = np.where(wrong, cost[gold, predicted], 0.0)
    truth, answers = gold[wrong], predicted[wrong]
    frequent = np.bincount(gold, minlength=len(cost)).astype(np.float64)
    return bootstrap_mean(
        each,
        wrong,
        counts,
        chance=_expected(cost, np.bincount(truth, minlength=len(cost)), frequent, per_text=True),
        shuffled=_expected(
            cost, np.bincount(truth, minlength=len(cost)), np.bincount(answers, minlength=len(cost))
        ),
        p=_p_value(cost, truth, answers, better, permutations, seed),
    )


def _expected(
    cost: NDArray[Any], truth: NDArray[Any], answers: NDArray[Any], per_text: bool = False
) -> float | None:
    """The mean cost of texts with these counts of true labels (L,) and answers by these counts,
    right answers left out.

    `per_text` gives every text the same weight; otherwise every pair of a text and a wrong answer
    has it.
    """
    possible = np.isfinite(cost) & ~np.eye(len(cost), dtype=bool)
    weights = np.where(possible, answers[None, :].astype(np.float64), 0.0)
    sums = (weights * np.where(possible, cost, 0.0)).sum(axis=1)
    totals = weights.sum(axis=1)
    if per_text:
        sums, totals = (
            np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0),
            (totals > 0).astype(np.float64),
        )
    whole = (truth * totals).sum()
    return float((truth * sums).sum() / whole) if whole > 0 else None


def _p_value(
    cost: NDArray[Any],
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    better: Literal["greater", "less"],
    permutations: int,
    seed: int,
) -> float | None:
    """One-sided: wrong answers dealt anew among the wrong texts; those that come right are left out
    of a deal's mean.
    """
    from scipy.stats import permutation_test

    if len(truth) < 2:
        return None
    possible = np.isfinite(cost) & ~np.eye(len(cost), dtype=bool)
    known, costs = possible.astype(np.float64), np.where(possible, cost, 0.0)

    def mean(dealt: NDArray[Any], axis: int) -> NDArray[np.float64]:
        dealt = np.moveaxis(dealt, axis, -1).astype(np.int64)
        return np.asarray(
            costs[truth, dealt].sum(axis=-1) / np.maximum(known[truth, dealt].sum(axis=-1), 1)
        )

    test = permutation_test(
        (answers,),
        mean,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=permutations,
        batch=BATCH,
        alternative=better,
        rng=generator(seed, "severity"),
    )
    return float(test.pvalue)

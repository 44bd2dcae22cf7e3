"""How bad wrong answers are, and both baselines, against plain loops and deals."""

from __future__ import annotations

import numpy as np
import pytest

from emomtl.analyses.space.severity import severity

GROUP = np.array([0, 0, 1, 1, 1, 2])
INSIDE = (GROUP[:, None] == GROUP[None, :]).astype(float)


def answers(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    gold = random.choice(6, n, p=[0.3, 0.1, 0.2, 0.1, 0.1, 0.2])
    return gold, np.where(
        random.uniform(size=n) < 0.5, gold, random.choice(6, n, p=[0.1, 0.1, 0.1, 0.1, 0.3, 0.3])
    )


def found(
    cost: np.ndarray, gold: np.ndarray, predicted: np.ndarray, better: str = "greater", n: int = 199
):
    return severity(cost, gold, predicted, np.ones((1, len(gold)), np.float32), better, n, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_cost_of_wrong_answers_alone(seed: int) -> None:
    gold, predicted = answers(seed)
    costs = [INSIDE[g, p] for g, p in zip(gold, predicted, strict=True) if g != p]
    assert found(INSIDE, gold, predicted).value == pytest.approx(np.mean(costs))


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_another_label_by_how_frequent_it_is(seed: int) -> None:
    gold, predicted = answers(seed)
    frequent = np.bincount(gold, minlength=6) / len(gold)
    shares = []
    for g, p in zip(gold, predicted, strict=True):
        if g != p:
            others = [label for label in range(6) if label != g]
            shares.append(
                sum(frequent[o] * INSIDE[g, o] for o in others) / sum(frequent[o] for o in others)
            )
    assert found(INSIDE, gold, predicted).chance == pytest.approx(np.mean(shares))


def test_shuffled_is_what_deals_of_the_same_wrong_answers_give() -> None:
    gold, predicted = answers(4)
    wrong, random = gold != predicted, np.random.default_rng(1)
    costs, pairs = 0.0, 0
    for _ in range(3_000):
        dealt = random.permutation(predicted[wrong])
        still = dealt != gold[wrong]
        costs, pairs = costs + INSIDE[gold[wrong], dealt][still].sum(), pairs + still.sum()
    assert found(INSIDE, gold, predicted).shuffled == pytest.approx(costs / pairs, abs=0.003)


def test_answers_that_look_at_nothing_are_no_better_than_shuffled_and_near_ones_are() -> None:
    random = np.random.default_rng(2)
    gold = random.choice(6, 300)
    blind = random.choice(6, 300)
    assert found(INSIDE, gold, blind).p > 0.05
    near = np.array([1, 0, 3, 4, 2, 0])[gold]
    figure = found(INSIDE, gold, near)
    assert figure.p == pytest.approx(1 / 200)
    assert figure.value > figure.shuffled > 0
    points = np.array([0.0, 0.1, 1.0, 1.1, 1.2, 5.0])
    apart = np.abs(points[:, None] - points[None, :])
    assert found(apart, gold, near, "less").p == pytest.approx(1 / 200)
    assert found(apart, gold, near, "greater").p > 0.5


def test_what_has_no_cost_is_left_out_everywhere() -> None:
    gold, predicted = answers(5)
    cost = INSIDE.copy()
    cost[5, :], cost[:, 5] = np.nan, np.nan
    kept = (gold != 5) & (predicted != 5)
    whole, part = found(cost, gold, predicted), found(INSIDE, gold[kept], predicted[kept])
    assert whole.value == pytest.approx(part.value)
    assert whole.shuffled == pytest.approx(part.shuffled)


def test_a_model_without_wrong_answers_has_no_severity() -> None:
    gold = np.arange(6)
    assert found(INSIDE, gold, gold).value is None
    one = found(INSIDE, gold, np.array([1, 1, 2, 3, 4, 5]))
    assert (one.value, one.p) == (1.0, None)

"""Weights drawn anew at every step."""

from __future__ import annotations

import numpy as np
import pytest

from emomtl_plugins.weightings.random_weights import Random


def test_the_draw_is_a_function_of_seed_and_step(moment):
    weights = Random().weights
    assert weights(moment(seed=3, step=5)) == weights(
        moment(seed=3, step=5, epoch=4, progress=0.7, share=0.5)
    )
    assert (
        len(
            {
                tuple(weights(moment(seed=seed, step=step)).values())
                for seed in (3, 4)
                for step in (5, 6)
            }
        )
        == 4
    )


def test_missing_tasks_do_not_change_the_other_weights(facts, moment, losses):
    weighting = Random()
    _, whole = weighting.combine(weighting.start(facts, []), losses(), moment(step=9))
    _, part = weighting.combine(
        weighting.start(facts, []), losses({"goemotions": None}), moment(step=9)
    )
    assert part == {task: whole[task] for task in ("sst-2", "emobank")}


@pytest.mark.parametrize(("total", "expected"), [("one", 1.0), ("tasks", 3.0)])
def test_weights_sum_to_what_total_says(moment, total, expected):
    for step in range(50):
        assert sum(Random(total=total).weights(moment(step=step)).values()) == pytest.approx(
            expected
        )


def test_the_logits_of_the_weights_are_standard_normal(moment):
    """log w_a − log w_b = z_a − z_b, which is normal with mean 0 and variance 2, and independent
    from step to step.
    """
    drawn = np.log([list(Random().weights(moment(step=step)).values()) for step in range(4000)])
    gaps = drawn[:, 0] - drawn[:, 1]
    assert abs(gaps.mean()) < 4 * np.sqrt(2 / 4000)
    assert gaps.var() == pytest.approx(2, rel=0.12)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(4000)

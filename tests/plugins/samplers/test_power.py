"""Sampling by a power of size."""

from __future__ import annotations

import pytest

from emomtl_plugins.samplers.annealed import Annealed
from emomtl_plugins.samplers.power import Power, Proportional, SquareRoot, Uniform

PAIRS = {
    "sentiment140": (
        {"goemotions": 43_410, "other": 1_600_000},
        (0.026, 0.974),
        (0.141, 0.859),
        (0.327, 0.673),
    ),
    "sst-2": (
        {"goemotions": 43_410, "other": 67_349},
        (0.392, 0.608),
        (0.445, 0.555),
        (0.478, 0.522),
    ),
    "ekman": ({"goemotions": 43_410, "other": 43_410}, (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
    "CS769 as it ran": (
        {"goemotions": 67_349, "other": 36_307},
        (0.65, 0.35),
        (0.577, 0.423),
        (0.531, 0.469),
    ),
}
"""Pairs of training sizes with probabilities worked out by hand: proportional, square root, and
annealed at its end.
"""


@pytest.mark.parametrize("pair", PAIRS)
def test_known_pairs_have_the_probabilities_worked_out_by_hand(moment, pair):
    sizes, *expected = PAIRS[pair]
    last = moment(sizes=sizes, progress=1.0)
    for sampler, numbers in zip((Proportional(), SquareRoot(), Annealed()), expected, strict=True):
        assert tuple(sampler.probabilities(last).values()) == pytest.approx(numbers, abs=0.0005)


def test_named_powers_equal_the_power_sampler(moment):
    now = moment()
    assert Power(alpha=1.0).probabilities(now) == Proportional().probabilities(now)
    assert Power(alpha=0.5).probabilities(now) == SquareRoot().probabilities(now)
    assert Power(alpha=0.0).probabilities(now) == Uniform().probabilities(now)


def test_a_power_is_what_it_says_on_round_numbers(moment):
    now = moment(sizes={"a": 1, "b": 4, "c": 25})
    assert Proportional().probabilities(now) == pytest.approx(
        {"a": 1 / 30, "b": 4 / 30, "c": 25 / 30}
    )
    assert SquareRoot().probabilities(now) == pytest.approx({"a": 1 / 8, "b": 2 / 8, "c": 5 / 8})
    assert Uniform().probabilities(now) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})

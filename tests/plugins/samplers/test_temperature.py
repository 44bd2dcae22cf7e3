"""Sampling with a temperature and a cap."""

from __future__ import annotations

import pytest

from emomtl_plugins.samplers.power import Proportional, SquareRoot
from emomtl_plugins.samplers.temperature import Temperature


def test_temperature_one_is_proportional_and_two_is_the_square_root(moment):
    now = moment()
    assert Temperature(temperature=1.0).probabilities(now) == Proportional().probabilities(now)
    assert Temperature().probabilities(now) == SquareRoot().probabilities(now)


def test_the_cap_is_the_most_that_a_task_counts_for(moment):
    now = moment(sizes={"small": 100, "large": 1_000_000, "huge": 9_000_000})
    assert Temperature(temperature=2.0, cap=400).probabilities(now) == pytest.approx(
        {"small": 0.2, "large": 0.4, "huge": 0.4}
    )


def test_a_high_temperature_is_nearly_uniform(moment):
    found = Temperature(temperature=1e9).probabilities(moment())
    assert list(found.values()) == pytest.approx([1 / 3] * 3, abs=1e-6)

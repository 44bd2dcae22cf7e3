"""What holds for every sampler that is offered."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import Moment

NAMES = ("goemotions", "sst-2", "emobank")


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 10**9), min_size=3, max_size=3),
    step=st.integers(0, 10**6),
    progress=st.floats(0, 1),
    epochs=st.integers(1, 30),
    joint=st.booleans(),
    data=st.data(),
)
def test_probabilities_are_a_distribution_over_the_tasks_and_pure(
    sampler, sizes, step, progress, epochs, joint, data
):
    epoch = data.draw(st.integers(0, epochs))
    now = Moment(step, progress, epoch, epochs, dict(zip(NAMES, sizes, strict=True)), joint=joint)
    found = sampler.probabilities(now)
    assert list(found) == list(NAMES)
    assert all(p >= 0 for p in found.values())
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)
    assert sampler.probabilities(now) == found


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 10**9), min_size=3, max_size=3),
    progress=st.floats(0, 1),
    order=st.permutations(NAMES),
)
def test_the_order_of_tasks_does_not_matter(sampler, sizes, progress, order):
    named = dict(zip(NAMES, sizes, strict=True))
    # Round-robin goes by the manifest's order, so it is asked where it takes no turns.
    joint = type(sampler).__name__ == "RoundRobin"
    straight = sampler.probabilities(Moment(5, progress, 1, 3, named, joint=joint))
    permuted = sampler.probabilities(
        Moment(5, progress, 1, 3, {name: named[name] for name in order}, joint=joint)
    )
    assert permuted == straight


def test_the_sampler_accepts_the_tasks_of_its_run(sampler, moment):
    assert sampler.check(moment().sizes) is None


def test_a_single_task_is_always_drawn(moment, offered):
    for name, (_, offer) in offered("emomtl_samplers").items():
        only = offer(**({"shares": {"sst-2": 0.3}} if name == "explicit" else {}))
        assert only.probabilities(moment(sizes={"sst-2": 7}, step=3)) == {"sst-2": 1.0}

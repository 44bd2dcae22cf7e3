"""Sampling with given shares."""

from __future__ import annotations

import pytest

from emomtl import EmomtlError
from emomtl_plugins.samplers.explicit import Explicit

SIZES = {"goemotions": 43_410, "sst-2": 67_349}


def test_shares_are_scaled_to_sum_one(moment):
    found = Explicit(shares={"sst-2": 1, "goemotions": 3}).probabilities(moment(sizes=SIZES))
    assert list(found.items()) == [("goemotions", 0.75), ("sst-2", 0.25)]


def test_everything_wrong_with_the_shares_is_said_at_once():
    with pytest.raises(EmomtlError) as caught:
        Explicit(shares={"sst2": 1.0, "goemotions": -1.0}).check(SIZES)
    found = [problem.found for problem in caught.value.problems]
    assert found == [
        "'sst2' is not a task of the run; did you mean 'sst-2'?",
        "the task 'sst-2' has no share",
        "'goemotions' has the share -1.0",
    ]
    assert {problem.place for problem in caught.value.problems} == {"sampler.shares"}


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_a_share_that_is_not_finite_is_refused(share):
    with pytest.raises(EmomtlError, match="'sst-2' has the share"):
        Explicit(shares={"goemotions": 1.0, "sst-2": share}).check(SIZES)


def test_shares_that_are_all_zero_are_refused():
    with pytest.raises(EmomtlError, match="every share is 0"):
        Explicit(shares={"goemotions": 0.0, "sst-2": 0}).check(SIZES)


def test_an_unknown_task_is_answered_with_the_known():
    with pytest.raises(EmomtlError, match="its tasks: goemotions, sst-2"):
        Explicit(shares={"goemotions": 1.0, "sst-2": 1.0, "xyz": 1.0}).check(SIZES)

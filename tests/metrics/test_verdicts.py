"""Verdicts follow from intervals: equal arms contradict nothing, wide intervals decide nothing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emomtl.metrics.verdicts import VERDICTS, Claimed, weigh

DIRECTIONS: list[Claimed] = ["more", "less"]
ENDS = st.floats(-1, 1, allow_nan=False)
SIZES = st.floats(0, 0.5, allow_nan=False)


@given(st.sampled_from(DIRECTIONS), SIZES, SIZES, st.booleans())
def test_equal_predictions_are_equivalent_whatever_is_claimed(
    expects: Claimed, least: float, margin: float, clear: bool
) -> None:
    found = weigh(0.0, 0.0, expects=expects, least=least, margin=margin, clear=clear)
    assert found.verdict == "equivalent"
    assert weigh(0.0, 0.0, expects="same", margin=margin, clear=clear).verdict == "supported"


@given(st.sampled_from(DIRECTIONS), st.floats(1e-3, 0.5), SIZES, st.floats(1e-6, 1))
def test_an_interval_that_holds_the_claim_and_zero_is_inconclusive(
    expects: Claimed, least: float, margin: float, more: float
) -> None:
    assume(margin < least)
    low, high = -more, least + more
    if expects == "less":
        low, high = -high, -low
    assert weigh(low, high, expects=expects, least=least, margin=margin).verdict == "inconclusive"


@given(st.sampled_from([*DIRECTIONS, "same"]), st.floats(0, 0.4), st.floats(0, 0.3), st.booleans())
def test_a_wide_interval_is_inconclusive_for_every_claim(
    expects: Claimed, least: float, margin: float, clear: bool
) -> None:
    assert (
        weigh(-0.5, 0.5, expects=expects, least=least, margin=margin, clear=clear).verdict
        == "inconclusive"
    )


@given(ENDS, ENDS, st.sampled_from(DIRECTIONS), SIZES, SIZES)
def test_supported_means_that_the_whole_interval_is_as_claimed(
    one: float, other: float, expects: Claimed, least: float, margin: float
) -> None:
    low, high = sorted((one, other))
    found = weigh(low, high, expects=expects, least=least, margin=margin)
    assert found.verdict in VERDICTS[:4]
    near, far = (low, high) if expects == "more" else (-high, -low)
    if found.verdict == "supported":
        assert near > 0
        assert near >= least
    if found.verdict == "contradicted":
        assert far < max(least, 0) or far < 0
    if found.verdict == "equivalent":
        assert max(abs(low), abs(high)) <= margin


@given(ENDS, ENDS, st.sampled_from(DIRECTIONS), SIZES, SIZES)
def test_a_claim_and_its_contrary_are_never_both_supported(
    one: float, other: float, expects: Claimed, least: float, margin: float
) -> None:
    low, high = sorted((one, other))
    contrary: Claimed = "less" if expects == "more" else "more"
    found = weigh(low, high, expects=expects, margin=margin)
    opposite = weigh(low, high, expects=contrary, margin=margin)
    mirrored = {"supported": "contradicted", "contradicted": "supported"}
    assert opposite.verdict == mirrored.get(found.verdict, found.verdict)
    assert (
        weigh(-high, -low, expects=contrary, least=least).verdict
        == weigh(low, high, expects=expects, least=least).verdict
    )


@pytest.mark.parametrize("expects", DIRECTIONS)
def test_what_correction_leaves_open_is_neither_supported_nor_contradicted(
    expects: Claimed,
) -> None:
    for low, high in ((0.01, 0.05), (-0.05, -0.01)):
        assert weigh(low, high, expects=expects, clear=False).verdict == "inconclusive"

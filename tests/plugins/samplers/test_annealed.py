"""Sampling whose exponent falls over the run."""

from __future__ import annotations

import pytest

from emomtl import EmomtlError
from emomtl_plugins.samplers.annealed import Annealed
from emomtl_plugins.samplers.power import Power


@pytest.mark.parametrize("epochs", [2, 5, 25])
def test_by_epoch_the_exponent_is_the_papers_in_every_epoch(moment, epochs):
    for e in range(1, epochs + 1):
        expected = 1 - 0.8 * (e - 1) / (epochs - 1)
        assert Annealed(by="epoch").alpha(
            moment(epoch=e - 1, epochs=epochs, progress=0.123)
        ) == pytest.approx(expected)


def test_alpha_falls_from_one_to_a_fifth(moment):
    sampler = Annealed(by="epoch")
    first, last = moment(epoch=0, epochs=25), moment(epoch=24, epochs=25)
    assert sampler.probabilities(first) == pytest.approx(Power(alpha=1.0).probabilities(first))
    assert sampler.probabilities(last) == pytest.approx(Power(alpha=0.2).probabilities(last))


def test_by_progress_alpha_falls_in_a_straight_line(moment):
    for progress, expected in ((0.0, 1.0), (0.25, 0.8), (0.5, 0.6), (1.0, 0.2)):
        assert Annealed().alpha(moment(progress=progress, epoch=7)) == pytest.approx(expected)


def test_a_run_of_one_epoch_stays_at_the_start(moment):
    assert Annealed(by="epoch", start=0.7).alpha(moment(epoch=0, epochs=1, progress=0.9)) == 0.7


def test_an_epoch_past_the_last_counts_as_the_last(moment):
    assert Annealed(by="epoch").alpha(moment(epoch=10, epochs=10, progress=1.0)) == pytest.approx(
        0.2
    )


def test_start_and_end_may_be_turned_round(moment):
    assert Annealed(start=0.0, end=1.0).alpha(moment(progress=0.75)) == pytest.approx(0.75)


def test_by_epoch_needs_at_least_one_pass():
    for passes in (0.28, 0.95):
        with pytest.raises(EmomtlError, match=f"{passes:.2f} passes long") as caught:
            Annealed(by="epoch").check_length(passes)
        assert 'by = "progress"' in caught.value.problems[0].remedy
        assert caught.value.problems[0].place == "sampler.by"
    Annealed(by="epoch").check_length(1.0)
    Annealed(by="progress").check_length(0.28)

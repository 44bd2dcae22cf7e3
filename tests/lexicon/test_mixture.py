"""The mixture model: what EM promises, against a slow EM token by token and against the exact
maximum.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from emomtl.lexicon.mixture import UNTUNED, background, expectation_maximisation, tuned_shares

COUNTS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(2, 9)),
    elements=st.integers(0, 30).map(float),
)


def noise_for(counts: NDArray[Any], seed: int) -> NDArray[Any]:
    return background(np.random.default_rng(seed).integers(0, 50, counts.shape[1]).astype(float))


def slow_em(
    documents: list[list[int]], noise: list[float], share: float, iterations: int
) -> tuple[list[float], list[float]]:
    """EM as the source writes it, in plain Python: a hidden origin for each token of each document."""
    size = len(noise)
    totals = [sum(document.count(word) for document in documents) for word in range(size)]
    theta = [total / sum(totals) for total in totals]
    likelihoods = []
    for _ in range(iterations):
        likelihoods.append(
            sum(
                math.log(share * theta[word] + (1 - share) * noise[word])
                for document in documents
                for word in document
            )
        )
        expected = [0.0] * size
        for document in documents:
            for word in document:
                expected[word] += (
                    share * theta[word] / (share * theta[word] + (1 - share) * noise[word])
                )
        theta = [value / sum(expected) for value in expected]
    return theta, likelihoods


def exact_maximum(counts: NDArray[Any], noise: NDArray[Any], share: float) -> NDArray[Any]:
    """The maximum without iterations (Zhang, Xu and Callan 2002): theta = max(0, c / v - (1 -
    lambda) / lambda N), v such that it sums to one; the words above zero are those with the largest
    c / N.
    """
    ratio = (1 - share) / share
    order = np.argsort(-counts / noise)
    for kept in range(len(order), 0, -1):
        words = order[:kept]
        level = counts[words].sum() / (1 + ratio * noise[words].sum())
        theta = counts[words] / level - ratio * noise[words]
        if (theta > 0).all():
            found = np.zeros(len(counts))
            found[words] = theta
            return found
    raise AssertionError("no word is kept")


@settings(deadline=None)
@given(COUNTS, st.floats(0.05, 0.95), st.integers(0, 99))
def test_the_likelihood_never_falls_and_theta_is_a_distribution(
    counts: NDArray[Any], share: float, seed: int
) -> None:
    fit = expectation_maximisation(counts, noise_for(counts, seed), np.full(len(counts), share))
    falls = fit.likelihoods[:-1] - fit.likelihoods[1:]
    assert (falls <= 1e-12 * np.abs(fit.likelihoods[1:])).all()
    assert (fit.theta >= 0).all()
    assert fit.theta.sum(axis=1) == pytest.approx(np.where(counts.sum(axis=1) > 0, 1.0, 0.0))
    assert (fit.theta[counts == 0] == 0).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=6),
    st.floats(0.1, 0.9),
    st.integers(1, 25),
    st.integers(0, 99),
)
def test_it_agrees_with_an_em_that_goes_token_by_token(
    documents: list[list[int]], share: float, iterations: int, seed: int
) -> None:
    counts = np.zeros((1, 6))
    np.add.at(counts[0], [word for document in documents for word in document], 1)
    noise = noise_for(counts, seed)
    fit = expectation_maximisation(
        counts, noise, np.array([share]), tolerance=-1.0, most=iterations
    )
    theta, likelihoods = slow_em(documents, noise.tolist(), share, iterations)
    np.testing.assert_allclose(fit.theta[0], theta, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fit.likelihoods[:iterations, 0], likelihoods, rtol=1e-10)


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.floats(0.2, 0.9), st.integers(0, 99))
def test_where_it_ends_is_the_exact_maximum(counts: NDArray[Any], share: float, seed: int) -> None:
    counts = counts[:1] + 1
    noise = noise_for(counts, seed)
    fit = expectation_maximisation(counts, noise, np.array([share]), tolerance=1e-15, most=5000)
    best = exact_maximum(counts[0], noise, share)
    reached, possible = (
        (counts[0] * np.log(share * theta + (1 - share) * noise)).sum()
        for theta in (fit.theta[0], best)
    )
    assert reached <= possible + 1e-9 * abs(possible)
    assert reached == pytest.approx(possible, rel=1e-6)


def test_planted_words_are_found_again() -> None:
    draw = np.random.default_rng(1)
    noise, planted = draw.dirichlet(np.ones(200)), np.zeros(200)
    planted[:8] = draw.dirichlet(np.ones(8) * 5)
    counts = draw.multinomial(200_000, 0.3 * planted + 0.7 * noise)[None, :].astype(float)
    fit = expectation_maximisation(counts, noise, np.array([0.3]), tolerance=1e-9)
    assert np.abs(fit.theta[0] - planted).sum() < 0.1
    assert set(np.argsort(-fit.theta[0])[:8]) == set(range(8))
    plain = counts[0] / counts.sum()
    assert np.abs(plain - planted).sum() > 1.0


def test_the_share_is_never_below_the_emotion_s_own() -> None:
    """From above it is not identified: with a larger share, theta takes the background's words in
    and fits as well.
    """
    draw = np.random.default_rng(2)
    noise = draw.dirichlet(np.ones(60))
    own = np.eye(60)[:4].sum(axis=0) / 4
    counts, held_out = (
        np.stack(
            [draw.multinomial(n, share * own + (1 - share) * noise) for share in (0.2, 0.7)]
        ).astype(float)
        for n in (400_000, 50_000)
    )
    found = tuned_shares(counts, noise, held_out)
    assert (found >= [0.19, 0.69]).all()
    assert found[0] < 0.69
    assert tuned_shares(counts, noise, np.zeros_like(held_out)).tolist() == [UNTUNED, UNTUNED]

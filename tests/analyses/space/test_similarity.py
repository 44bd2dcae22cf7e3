"""Similarity to VAD: the correlation and its partial forms against scipy and closed forms, p
against every permutation.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from emomtl import Grouping
from emomtl.analyses.space.centroids import pairs
from emomtl.analyses.space.similarity import (
    PartialSpearman,
    Relation,
    between_groups,
    euclidean,
    relations,
    similarity,
)

seeds = st.integers(0, 10_000)


def distances(seed: int, labels: int, width: int = 3) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(labels, width))
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def figure(relation: Relation, square: np.ndarray, n: int = 50):
    return similarity(relation, square, pairs(square)[None], n, seed=1)


@given(seeds, st.integers(4, 12))
@settings(max_examples=25, deadline=None)
def test_without_anything_given_it_is_spearmans_rho(seed: int, labels: int) -> None:
    mine, theirs = distances(seed, labels), pairs(distances(seed + 1, labels))
    found = figure(Relation("x", theirs), mine, 1)
    assert found.value == pytest.approx(spearmanr(pairs(mine), theirs).statistic, abs=1e-12)
    assert found.draws == pytest.approx([found.value])


@given(seeds, st.integers(5, 12))
@settings(max_examples=25, deadline=None)
def test_given_one_other_it_is_the_closed_form(seed: int, labels: int) -> None:
    x, y, z = (pairs(distances(seed + shift, labels)) for shift in range(3))
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert PartialSpearman(Relation("x", y, (z,))).of_ranks(rankdata(x)) == pytest.approx(
        expected, abs=1e-9
    )


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_given_several_it_is_that_of_the_inverse_of_the_correlations(seed: int) -> None:
    columns = [pairs(distances(seed + shift, 9)) for shift in range(4)]
    inverse = np.linalg.inv(spearmanr(np.stack(columns, axis=1)).statistic)
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    found = PartialSpearman(Relation("x", columns[1], tuple(columns[2:]))).of_ranks(
        rankdata(columns[0])
    )
    assert found == pytest.approx(expected, abs=1e-9)


def test_what_follows_from_the_given_is_undefined_and_a_constant_given_changes_nothing() -> None:
    mine, theirs = distances(1, 6), pairs(distances(2, 6))
    assert figure(Relation("x", theirs, (theirs,)), mine).value is None
    constant = figure(Relation("x", theirs, (np.ones(15),)), mine).value
    assert constant == pytest.approx(figure(Relation("x", theirs), mine).value)


@pytest.mark.parametrize("seed", range(4))
def test_with_few_labels_p_is_the_share_of_all_permutations(seed: int) -> None:
    mine, theirs = distances(seed, 5), distances(seed + 50, 5)
    found = figure(Relation("x", pairs(theirs)), mine, 1_000)
    rhos = [
        spearmanr(pairs(mine[np.ix_(order, order)]), pairs(theirs)).statistic
        for order in map(list, permutations(range(5)))
    ]
    assert found.p == pytest.approx(np.mean(np.array(rhos) >= found.value - 1e-12))


def test_a_random_test_of_n_permutations_counts_the_one_that_was_found() -> None:
    square = distances(3, 10)
    found = figure(Relation("x", pairs(square)), square, 199)
    assert found.value == pytest.approx(1)
    assert found.p == pytest.approx(1 / 200)
    again = figure(Relation("x", pairs(square)), square, 199)
    assert again.p == found.p


def test_unrelated_distances_get_p_values_that_are_spread_evenly() -> None:
    ps = [
        figure(Relation("x", pairs(distances(seed, 9))), distances(seed + 500, 9), 99).p
        for seed in range(60)
    ]
    assert 0.35 < np.mean(ps) < 0.65
    assert np.mean(np.array(ps) <= 0.1) < 0.25


def test_given_groupings_only_pairs_of_the_same_two_groups_are_compared() -> None:
    names, random = list("abcdefghi"), np.random.default_rng(8)
    grouping = Grouping("three", {"x": ("a", "b", "c"), "y": ("d", "e", "f", "g"), "z": ("h", "i")})
    kinds = between_groups(grouping, names)
    assert np.array_equal(np.sum(kinds, axis=0), np.ones(36))
    assert [int(kind.sum()) for kind in kinds] == [3, 12, 6, 6, 8, 1]
    one, other = random.uniform(size=(2, 36))
    expected = [rankdata(values) for values in (one, other)]
    for ranks in expected:
        for kind in kinds:
            ranks[kind == 1] -= ranks[kind == 1].mean()
    found = PartialSpearman(Relation("x", other, tuple(kinds))).of_ranks(rankdata(one))
    assert found == pytest.approx(np.corrcoef(expected)[0, 1], abs=1e-9)


def test_scale_of_the_coordinates_makes_no_difference() -> None:
    points = np.random.default_rng(5).uniform(size=(8, 3))
    square = distances(6, 8)
    one, other = (relations(scale * points + 1, list("abcdefgh"), []) for scale in (1, 8))
    assert [figure(r, square, 1).value for r in one] == pytest.approx(
        [figure(r, square, 1).value for r in other]
    )


def test_a_space_that_knows_only_the_groups_shows_nothing_beyond_them() -> None:
    random = np.random.default_rng(7)
    names = [f"l{i}" for i in range(12)]
    grouping = Grouping("half", {"a": tuple(names[:6]), "b": tuple(names[6:])})
    valence = np.array([0.1] * 6 + [0.9] * 6) + random.normal(scale=0.03, size=12)
    points = np.stack([valence, *random.uniform(size=(2, 12))], axis=1)
    apart = np.array(
        [[0.0 if grouping.parents[a] == grouping.parents[b] else 1.0 for b in names] for a in names]
    )
    noise = random.uniform(0, 0.1, size=(12, 12))
    found = {
        r.name: figure(r, apart + noise + noise.T, 500)
        for r in relations(points, names, [grouping])
    }
    assert found["valence"].value > 0.6
    assert found["valence"].p < 0.01
    assert found["VAD given groupings"].p > 0.05
    assert found["arousal and dominance given valence and groupings"].p > 0.05


def test_distances_that_are_equal_on_paper_are_ties_and_a_unit_changes_no_rank() -> None:
    points = np.array([[0.9], [0.2], [0.8], [0.1]])
    assert 0.9 - 0.2 != 0.8 - 0.1
    found = rankdata(euclidean(points))
    assert found.tolist() == rankdata(euclidean(10 * points)).tolist() == [4.5, 1.5, 6, 3, 1.5, 4.5]


def test_distances_are_euclidean() -> None:
    assert euclidean(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])) == pytest.approx(
        [5, 1, np.sqrt(18)]
    )

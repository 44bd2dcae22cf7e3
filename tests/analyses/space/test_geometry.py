"""Centroids, spread, silhouettes and neighbours against scikit-learn, scipy and plain loops;
samples against a bootstrap.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import bootstrap
from sklearn.metrics import calinski_harabasz_score, silhouette_score

from emomtl.analyses.space.centroids import (
    between_within,
    centroids,
    cosine_distances,
    drawn_centroids,
    drawn_pairs,
    pairs,
    unit,
)
from emomtl.analyses.space.neighbours import macro_purity, nearest, purity, silhouette
from emomtl.metrics.bootstrap import BootstrapEstimate, bootstrap_mean, stratified_counts

seeds = st.integers(0, 10_000)


def cloud(
    seed: int, n: int = 60, groups: int = 4, width: int = 6, pull: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    members = np.concatenate([np.arange(groups), random.integers(groups, size=n - groups)])
    return (
        random.normal(size=(n, width)) + pull * random.normal(size=(groups, width))[members]
    ).astype(np.float32), members


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_centroids_are_means_and_their_distances_cosine(seed: int) -> None:
    vectors, members = cloud(seed)
    means = centroids(vectors, members, 4)
    assert means == pytest.approx(
        np.stack([vectors[members == g].mean(axis=0) for g in range(4)]), abs=1e-6
    )
    assert pairs(cosine_distances(means)) == pytest.approx(pdist(means, "cosine"), abs=1e-9)


def test_a_group_without_texts_has_no_centroid() -> None:
    vectors, members = cloud(1)
    assert np.isnan(centroids(vectors, members, 6)[4:]).all()


def test_centroids_of_a_sample_are_those_of_its_texts_written_out() -> None:
    vectors, members = cloud(2)
    counts = stratified_counts(members, seed=3, number=5)
    for sample, means in zip(counts, drawn_centroids(vectors, members, 4, counts), strict=True):
        rows = np.repeat(np.arange(len(members)), sample.astype(int))
        assert means == pytest.approx(centroids(vectors[rows], members[rows], 4), abs=1e-6)
    for kept in (np.array([0, 2, 3]), np.array([0, 2])):
        drawn = drawn_pairs(vectors, members, kept, counts)
        assert drawn[4] == pytest.approx(
            pdist(drawn_centroids(vectors, members, 4, counts)[4][kept], "cosine")
        )


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_between_over_within_is_calinski_and_harabaszs_index_over_its_chance(seed: int) -> None:
    vectors, members = cloud(seed)
    found = between_within(unit(vectors), members, np.ones((1, 60), np.float32))
    assert found.value is not None
    assert found.chance is not None
    assert found.value / found.chance == pytest.approx(
        calinski_harabasz_score(unit(vectors), members), rel=1e-6
    )
    assert found.draws == pytest.approx([found.value])


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_purity_is_what_a_plain_loop_counts(seed: int) -> None:
    vectors, members = cloud(seed)
    distances = cdist(vectors.astype(float), vectors.astype(float), "cosine")
    shares = []
    for i in range(len(vectors)):
        order = [j for j in np.argsort(distances[i]) if j != i][:10]
        shares.append(np.mean([members[j] == members[i] for j in order]))
    counts, neighbours = np.ones((1, 60), np.float32), nearest(vectors)
    assert neighbours.shape == (60, 10)
    assert purity(neighbours, members, counts).value == pytest.approx(np.mean(shares))
    macro = np.mean([np.mean(np.array(shares)[members == g]) for g in range(4)])
    found = macro_purity(neighbours, members, counts)
    assert found.value == pytest.approx(macro)
    assert found.draws == pytest.approx([macro])


def test_chance_is_the_purity_of_shuffled_labels() -> None:
    vectors, members = cloud(5, n=200, groups=3)
    neighbours, counts, random = (
        nearest(vectors),
        np.ones((1, 200), np.float32),
        np.random.default_rng(0),
    )
    for measure in (purity, macro_purity):
        shuffled = [
            measure(neighbours, random.permutation(members), counts).value for _ in range(300)
        ]
        assert np.mean(shuffled) == pytest.approx(
            measure(neighbours, members, counts).chance, abs=0.01
        )


def test_groups_that_lie_apart_are_pure_and_a_silhouette_is_scikit_learns() -> None:
    vectors, members = cloud(6, pull=30)
    counts = stratified_counts(members, seed=1, number=50)
    assert (
        purity(nearest(vectors[members < 2]), members[members < 2], counts[:, members < 2]).value
        > 0.95
    )
    found = silhouette(vectors, members, counts)
    assert found.value == pytest.approx(
        silhouette_score(vectors, members, metric="cosine"), abs=1e-6
    )
    assert found.value > 0.5


def test_one_group_or_a_group_for_each_text_has_no_silhouette_and_no_spread() -> None:
    vectors, _ = cloud(7)
    counts = np.ones((2, 60), np.float32)
    for members in (np.zeros(60, int), np.arange(60)):
        assert silhouette(vectors, members, counts).value is None
        assert between_within(unit(vectors), members, counts).value is None


def test_samples_keep_the_size_of_every_label() -> None:
    _, members = cloud(8)
    counts = stratified_counts(members, seed=4, number=30)
    for label in range(4):
        assert (counts[:, members == label].sum(axis=1) == (members == label).sum()).all()
    assert (stratified_counts(members, seed=4, number=30) == counts).all()
    assert (stratified_counts(members, seed=5, number=30) != counts).any()


def test_the_interval_of_a_mean_is_that_of_scipys_bootstrap() -> None:
    values = np.random.default_rng(9).exponential(size=300)
    counts = stratified_counts(np.zeros(300, int), seed=1, number=4_000)
    low, high = bootstrap_mean(values, np.ones(300, bool), counts).interval or (0, 0)
    other = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4_000, rng=2
    ).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.01)


def test_a_mean_over_some_texts_is_theirs_and_over_none_undefined() -> None:
    counts = np.array([[1, 1, 1], [0, 2, 1]], np.float32)
    found = bootstrap_mean(np.array([1.0, 5.0, 9.0]), np.array([True, True, False]), counts)
    assert found.value == 3
    assert found.draws == pytest.approx([3, 5])
    nothing = bootstrap_mean(np.ones(3), np.zeros(3, bool), counts)
    assert nothing.value is None
    assert nothing.interval is None


def test_a_difference_is_paired_so_that_a_figure_differs_from_itself_by_nothing() -> None:
    random = np.random.default_rng(3)
    figure = BootstrapEstimate(0.5, random.normal(0.5, 0.1, 1_000))
    assert figure.minus(figure).value == 0
    assert figure.minus(figure).interval == (0, 0)
    better = BootstrapEstimate(0.7, np.asarray(figure.draws) + 0.2)
    assert better.minus(figure).interval == pytest.approx((0.2, 0.2))
    assert BootstrapEstimate(None).minus(figure).value is None


def test_an_interval_lies_around_its_value_although_the_draws_are_off_to_one_side() -> None:
    vectors, members = cloud(10, n=40, groups=8, pull=0)
    found = between_within(unit(vectors), members, stratified_counts(members, seed=1))
    assert found.interval is not None
    assert found.draws is not None
    assert found.draws.mean() > 1.1 * found.value
    assert found.interval[0] < found.value < found.interval[1]

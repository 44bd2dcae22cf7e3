"""Projections are the same each time and alike between panels; names in a picture lie on nothing."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from emomtl.analyses.space.names import POINT, _apart
from emomtl.analyses.space.pictures import _ranked
from emomtl.analyses.space.projections import pca, tsne


def test_pca_is_the_singular_value_decomposition_with_signs_that_are_fixed() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 6)) * [3, 2, 1, 1, 1, 1]
    found = pca(vectors)
    centred = vectors - vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(found.points) == pytest.approx(np.abs(centred @ axes[:2].T))
    assert found.explained == pytest.approx(lengths[:2] ** 2 / (lengths**2).sum())
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in found.points.T)


def test_a_panel_points_the_way_of_the_one_before_it() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 4)) * [4, 2, 1, 1]
    first = pca(vectors).points
    for signs in ([1, 1, 1, 1], [-1, 1, 1, 1], [-1, -1, 1, 1]):
        assert pca(vectors * signs, like=-first).points == pytest.approx(-first)


def test_tsne_with_one_seed_is_one_picture_and_works_with_few_texts() -> None:
    vectors = np.random.default_rng(3).normal(size=(12, 5))
    assert tsne(vectors, 17).points.shape == (12, 2)
    assert np.array_equal(tsne(vectors, 17).points, tsne(vectors, 17).points)


@pytest.mark.parametrize("spread", [300.0, 40.0, 0.0])
def test_names_lie_neither_on_each_other_nor_on_a_point(spread: float) -> None:
    random = np.random.default_rng(4)
    anchors = 400 + spread * random.normal(size=(28, 2))
    anchors = np.clip(anchors, 50, 750)
    half = np.stack([random.uniform(15, 45, 28), np.full(28, 7.0)], axis=1)
    centres = _apart(anchors, half, np.array([[0.0, 0.0], [800.0, 800.0]]))
    for one, other in combinations(range(28), 2):
        assert (np.abs(centres[one] - centres[other]) >= half[one] + half[other] - 1e-6).any()
    apart = np.abs(centres[:, None] - anchors[None]) >= (half + POINT)[:, None] - 1e-6
    assert apart.any(axis=2).all()
    assert (centres - half >= 0).all()
    assert (centres + half <= 800).all()


def test_ranks_of_distances_go_from_0_to_1_and_what_is_not_known_stays_so() -> None:
    square = np.array([[0.0, 5.0, 1.0], [5.0, 0.0, np.nan], [1.0, np.nan, 0.0]])
    assert _ranked(square)[0, 1:] == pytest.approx([1.0, 0.0])
    assert np.isnan(_ranked(square)[1, 2])

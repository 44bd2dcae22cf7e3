"""Streams of rows: pure functions of a position, every row once a pass; and examples shared out by
probabilities.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emomtl.data.batches import Stream, apportion
from emomtl.seeds import generator


def stream(n: int = 103, block: int = 8, buckets: bool = True, seed: int = 3) -> Stream:
    lengths = np.random.default_rng(1).integers(3, 60, 500)
    rows = np.random.default_rng(2).permutation(500)[:n]
    return Stream("mood", rows, lengths, seed, block, buckets)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a loaded machine
@given(st.lists(st.integers(0, 90), min_size=1, max_size=12), st.booleans())
def test_what_a_stream_gives_depends_on_the_position_alone(sizes: list[int], buckets: bool) -> None:
    whole = stream(buckets=buckets).take(0, sum(sizes))
    position, parts, read = 0, [], stream(buckets=buckets)
    for size in sizes:
        parts.append(read.take(position, size))
        position += size
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(read.take(0, sum(sizes)), whole), "going back gives the same rows again"


@pytest.mark.parametrize("buckets", [True, False])
@pytest.mark.parametrize("n", [1, 7, 8, 103, 450])
def test_a_pass_has_each_row_once_in_its_own_order(n: int, buckets: bool) -> None:
    read = stream(n, buckets=buckets)
    passes = [read.take(number * n, n) for number in range(3)]
    for one in passes:
        assert sorted(one) == sorted(read.rows)
    if n > 7:
        assert not np.array_equal(passes[0], passes[1])
        assert not np.array_equal(passes[1], passes[2])


def test_buckets_put_texts_of_like_length_together() -> None:
    spread = {}
    for buckets in (True, False):
        read = stream(400, buckets=buckets)
        spread[buckets] = np.mean(
            [np.ptp(read.lengths[read.take(at, 8)]) for at in range(0, 400, 8)]
        )
    assert spread[True] < 4 < 30 < spread[False]


def test_the_first_rows_of_a_bucket_are_not_its_shortest() -> None:
    lengths = np.arange(3200)
    read = Stream("mood", np.arange(3200), lengths, 1, 32, True)
    first = [read.take(at, 32) for at in range(0, 3200, 32)]
    ranks = np.mean([np.argsort(np.argsort(rows))[:8].mean() for rows in first])
    assert ranks == pytest.approx(15.5, abs=2)


def test_another_seed_task_or_pass_draws_another_order() -> None:
    orders = [stream(seed=seed).take(0, 103).tolist() for seed in (1, 2)]
    other = stream()
    other.name = "topics"
    orders += [stream().take(0, 103).tolist(), other.take(0, 103).tolist()]
    assert len({tuple(order) for order in orders}) == 4


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda p: sum(p) > 0.01),
    st.integers(1, 200),
    st.integers(0, 99),
)
def test_apportioned_examples_are_the_floor_or_one_more(
    weights: list[float], total: int, seed: int
) -> None:
    shares = {str(i): weight / sum(weights) for i, weight in enumerate(weights)}
    counts = apportion(shares, total, generator(seed))
    for task, p in shares.items():
        if p == 0:
            assert counts[task] == 0
        else:
            assert (
                max(1, int(p * total - 1e-6)) <= counts[task] <= max(1, int(p * total + 1e-6) + 1)
            )
    if all(p * total >= 1 for p in shares.values() if p):
        assert sum(counts.values()) == total


def test_shared_out_examples_have_the_probabilities_as_their_mean() -> None:
    shares = {"a": 0.61, "b": 0.27, "c": 0.12, "never": 0.0}
    counts = [apportion(shares, 21, generator(7, step)) for step in range(4000)]
    for task, p in shares.items():
        assert np.mean([found[task] for found in counts]) == pytest.approx(21 * p, abs=0.03)

"""Sampling in turn."""

from __future__ import annotations

from emomtl_plugins.samplers.round_robin import RoundRobin


def test_tasks_take_turns_in_the_manifests_order_and_begin_anew(moment):
    turns = []
    for step in range(7):
        found = RoundRobin().probabilities(moment(step=step))
        turns += [task for task, p in found.items() if p == 1.0]
    assert turns == ["goemotions", "sst-2", "emobank"] * 2 + ["goemotions"]


def test_tasks_that_are_trained_jointly_are_uniform(moment):
    assert RoundRobin().probabilities(moment(step=4, joint=True)) == {
        "goemotions": 1 / 3,
        "sst-2": 1 / 3,
        "emobank": 1 / 3,
    }

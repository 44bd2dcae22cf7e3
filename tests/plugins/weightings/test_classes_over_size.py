"""Weights from the number of labels and the size of the corpus."""

from __future__ import annotations

import pytest

from emomtl import TaskFacts
from emomtl_plugins.weightings.classes_over_size import ClassesOverSize


def _weights(facts, moment, losses):
    weighting = ClassesOverSize()
    _, weights = weighting.combine(weighting.start(facts, []), losses(), moment())
    return {task: weight.item() for task, weight in weights.items()}


def test_weights_are_labels_over_rows_with_sum_t(facts, moment, losses):
    a, b, c = 28 / 43_410, 2 / 67_349, 3 / 8_062
    expected = {
        "goemotions": 3 * a / (a + b + c),
        "sst-2": 3 * b / (a + b + c),
        "emobank": 3 * c / (a + b + c),
    }
    found = _weights(facts, moment, losses)
    assert found == pytest.approx(expected, rel=1e-6)
    assert sum(found.values()) == pytest.approx(3, rel=1e-6)


def test_a_large_corpus_gets_the_weight_of_the_docstring(moment, losses):
    facts = {
        "goemotions": TaskFacts(43_410, 28, "labels"),
        "sst-2": TaskFacts(1_600_000, 2, "labels"),
    }
    weighting = ClassesOverSize()
    now = moment(sizes={task: fact.size for task, fact in facts.items()})
    _, weights = weighting.combine(weighting.start(facts, []), losses({"emobank": None}), now)
    assert weights["sst-2"].item() == pytest.approx(0.004, abs=0.0005)


def test_tasks_alike_get_equal_weights(moment, losses):
    same = dict.fromkeys(("goemotions", "sst-2", "emobank"), TaskFacts(50, 4, "labels"))
    assert _weights(same, moment, losses) == pytest.approx(dict.fromkeys(same, 1.0))

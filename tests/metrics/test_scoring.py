"""Scores on coarser groupings: folding decisions is the same as scoring OR-ed targets, and every
name is known before.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import MultiLabel, SingleLabel, Taxonomy
from emomtl.contracts.taxonomy import Grouping
from emomtl.metrics.scoring import Tuned, metric_names, score

GROUPING = Grouping(
    "mood", {"good": ("joy", "love"), "bad": ("anger", "fear", "grief"), "none": ("neutral",)}
)
FINE = Taxonomy(["anger", "fear", "grief", "joy", "love", "neutral"], [GROUPING])
COARSE = Taxonomy(["good", "bad", "none"])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_folded_multi_label_scores_are_those_of_or_ed_targets_and_decisions(
    seed: int, rows: int
) -> None:
    draw = np.random.default_rng(seed)
    logits, targets = (
        draw.normal(size=(rows, 6)) * 2,
        (draw.random((rows, 6)) < 0.3).astype(np.float32),
    )
    head = MultiLabel()
    found = score(head, FINE, targets, logits)
    members = [[FINE.index(name) for name in group] for group in GROUPING.groups.values()]
    or_ed = np.stack([targets[:, columns].max(axis=1) for columns in members], axis=1)
    labels = [[name for name, on in zip(FINE, row, strict=True) if on] for row in targets]
    folded = np.array(
        [[name in GROUPING.fold(names) for name in COARSE] for names in labels], dtype=np.float32
    )
    assert np.array_equal(or_ed, folded)
    for threshold, suffix in ((0.5, ""), (0.3, "_at_0.3")):
        decided = head.probabilities(logits) >= threshold
        coarse = np.stack([decided[:, columns].any(axis=1) for columns in members], axis=1)
        wanted = head.metrics(or_ed, np.where(coarse, 0.9, 0.1))
        for name in ("macro_f1", "micro_f1", "weighted_f1", "subset_accuracy"):
            assert found.metrics[f"mood/{name}{suffix}"] == wanted[name]
    assert [row["label"] for row in found.tables["mood"]] == ["good", "bad", "none"]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_folded_single_label_scores_are_those_of_parents_and_summed_probabilities(
    seed: int, rows: int
) -> None:
    draw = np.random.default_rng(seed)
    logits, targets = draw.normal(size=(rows, 6)), draw.integers(0, 6, rows)
    head = SingleLabel()
    found = score(head, FINE, targets, logits)
    parents = np.array([COARSE.index(GROUPING.parents[FINE[int(target)]]) for target in targets])
    probabilities = head.probabilities(logits)
    members = [[FINE.index(name) for name in group] for group in GROUPING.groups.values()]
    summed = np.stack([probabilities[:, columns].sum(axis=1) for columns in members], axis=1)
    np.testing.assert_allclose(summed.sum(axis=1), 1)
    assert {
        name: found.metrics[f"mood/{name}"] for name in head.metrics(parents, summed)
    } == head.metrics(parents, summed)


def test_an_unknown_member_leaves_its_group_unknown_unless_another_member_holds() -> None:
    targets = np.array(
        [[np.nan, 1, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0, 1], [0, 0, 0, np.nan, np.nan, 0]], np.float32
    )
    coarse, _ = MultiLabel().fold(targets, np.zeros((3, 6)), GROUPING, FINE)
    np.testing.assert_array_equal(coarse, [[0, 1, 0], [0, np.nan, 1], [np.nan, 0, 0]])


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel()])
def test_the_names_of_figures_are_known_without_scoring(head: MultiLabel | SingleLabel) -> None:
    targets = np.stack(
        [np.asarray(head.encode("joy", FINE)), np.asarray(head.encode("fear", FINE))]
    )
    found = score(head, FINE, targets, np.random.default_rng(1).normal(size=(2, 6)))
    assert metric_names(head, FINE) == list(found.metrics)
    assert head.main_metric in found.metrics
    assert "mood/macro_f1" in found.metrics
    assert not {"accuracy", "f1"} & set(found.metrics)


def test_scores_hold_what_the_head_says_of_the_metrics_at_tuned_thresholds_too() -> None:
    targets = np.stack(
        [np.asarray(MultiLabel().encode(name, FINE)) for name in ("joy", "fear") * 5]
    )
    scores = score(
        MultiLabel(),
        FINE,
        targets,
        np.random.default_rng(1).normal(size=(10, 6)),
        tuned=Tuned.cross_fitted(),
    )
    written = json.loads(json.dumps(scores.as_json()))
    assert written["main_metric"] == "macro_f1"
    assert written["errors"] == []
    assert written["headline"] == list(MultiLabel.headline)
    assert written["reported"] == list(MultiLabel.reported)


def test_rows_without_any_target_are_not_counted() -> None:
    targets = np.array([[1, 0, 0, 0, 0, 0], [np.nan] * 6], np.float32)
    found = score(MultiLabel(), FINE, targets, np.zeros((2, 6)))
    assert found.rows == 1
    assert any("no row has" in line for line in found.undefined)

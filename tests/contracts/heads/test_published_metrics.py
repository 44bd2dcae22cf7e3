"""Jaccard, average precision, AUROC, Matthews' correlation and kappas are scikit-learn's; undefined
ones are None, and said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    jaccard_score,
    matthews_corrcoef,
    roc_auc_score,
)

from emomtl import EmomtlError, Grouping, MultiLabel, SingleLabel, Taxonomy
from emomtl.metrics.predictions import HeadMetric, TaskPredictions
from emomtl.metrics.scoring import score

seeds = st.integers(0, 2**32 - 1)
NAMES = ("none", "some", "much", "all")


def labelled(seed: int, rows: int, digits: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Targets of which each label is had by a row and not by another, and probabilities; few digits
    give many ties.
    """
    draw = np.random.default_rng(seed)
    targets = (draw.random((rows, 4)) < 0.3).astype(np.float32)
    targets[0], targets[1] = 1, 0
    return targets, np.round(draw.random((rows, 4)), digits)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(2, 40), st.sampled_from([1, 2, 9]))
def test_multi_label_metrics_are_scikit_learn_s_with_ties_too(
    seed: int, rows: int, digits: int
) -> None:
    targets, probabilities = labelled(seed, rows, digits)
    found = MultiLabel().metrics(targets, probabilities)
    for mean in ("macro", "micro"):
        assert found[f"{mean}_average_precision"] == pytest.approx(
            average_precision_score(targets, probabilities, average=mean)
        )
        assert found[f"{mean}_auroc"] == pytest.approx(
            roc_auc_score(targets, probabilities, average=mean)
        )
    for threshold, suffix in ((0.5, ""), (0.3, "_at_0.3")):
        decided = (probabilities >= threshold).astype(np.float32)
        wanted = jaccard_score(targets, decided, average="samples", zero_division=1)
        assert found[f"jaccard{suffix}"] == pytest.approx(wanted)
        given = [i for i in range(4) if np.ptp(decided[:, i])]
        correlations = [matthews_corrcoef(targets[:, i], decided[:, i]) for i in given]
        ours = found[f"macro_matthews_correlation{suffix}"]
        assert ours == (pytest.approx(np.mean(correlations), abs=1e-9) if given else None)
        kappas = [cohen_kappa_score(targets[:, i], decided[:, i]) for i in range(4)]
        assert found[f"macro_cohen_kappa{suffix}"] == pytest.approx(np.mean(kappas), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(8, 40))
def test_single_label_metrics_are_scikit_learn_s(seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(4), draw.integers(0, 4, rows - 4)])
    probabilities = draw.dirichlet(np.ones(4), rows)
    probabilities[0], probabilities[1] = (0.7, 0.1, 0.1, 0.1), (0.1, 0.1, 0.7, 0.1)
    decided = probabilities.argmax(axis=1)
    found = SingleLabel(ordinal=True).metrics(targets, probabilities)
    assert found["matthews_correlation"] == pytest.approx(matthews_corrcoef(targets, decided))
    assert found["cohen_kappa"] == pytest.approx(cohen_kappa_score(targets, decided))
    assert found["quadratic_weighted_kappa"] == pytest.approx(
        cohen_kappa_score(targets, decided, weights="quadratic")
    )
    assert found["pearson_r"] == pytest.approx(pearsonr(targets, decided).statistic)
    assert found["macro_auroc"] == pytest.approx(
        roc_auc_score(targets, probabilities, multi_class="ovr")
    )
    each = [
        average_precision_score(targets == label, probabilities[:, label]) for label in range(4)
    ]
    assert found["macro_average_precision"] == pytest.approx(np.mean(each))


def test_jaccard_of_two_empty_sets_is_one() -> None:
    targets = np.array([[0, 0], [1, 1], [1, 0]], np.float32)
    probabilities = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    assert MultiLabel().metrics(targets, probabilities)["jaccard"] == pytest.approx(
        (1 + 0.5 + 0) / 3
    )


def test_labels_without_a_ranking_are_left_out_and_named() -> None:
    taxonomy = Taxonomy(["always", "never", "at times"])
    targets = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 1]], np.float32)
    logits = np.log(np.array([[0.9, 0.2, 0.4], [0.8, 0.1, 0.3], [0.8, 0.1, 0.6]]) / 0.5)
    found = score(MultiLabel(), taxonomy, targets, logits)
    assert found.metrics["macro_auroc"] == pytest.approx(0.5)
    assert [row["auroc"] for row in found.tables[""]] == [None, None, pytest.approx(0.5)]
    assert [row["average_precision"] is None for row in found.tables[""]] == [False, True, False]
    assert "no row has never: left out of macro average precision and AUROC" in found.undefined
    assert "every row has always: left out of macro AUROC" in found.undefined


def test_a_decision_that_is_always_the_same_has_no_correlation() -> None:
    targets, probabilities = np.array([0, 1, 0]), np.array([[0.9, 0.1]] * 3)
    found = SingleLabel(ordinal=True).metrics(targets, probabilities)
    assert (found["matthews_correlation"], found["pearson_r"]) == (None, None)
    assert found["cohen_kappa"] == 0.0
    assert SingleLabel().metrics(np.zeros(3, int), probabilities)["cohen_kappa"] is None


def test_unknown_cells_count_in_no_metric_of_an_order() -> None:
    targets, probabilities = labelled(3, 30, 2)
    targets[4, 1] = np.nan
    other = probabilities.copy()
    other[4, 1] = 1 - other[4, 1]
    assert MultiLabel().metrics(targets, probabilities) == MultiLabel().metrics(targets, other)
    kept = np.delete(np.arange(30), 4)
    each = [MultiLabel().table(targets, probabilities, NAMES)[1]["auroc"]]
    assert each == [pytest.approx(roc_auc_score(targets[kept, 1], probabilities[kept, 1]))]


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel(), SingleLabel(ordinal=True)])
def test_one_metric_is_what_it_is_among_all(head: Any) -> None:
    targets, probabilities = labelled(5, 25, 2)
    if head.kind == "single-label":
        targets = targets.argmax(axis=1)
    whole = head.metrics(targets, probabilities)
    assert {name: head.metric(name, targets, probabilities) for name in whole} == whole
    assert (
        HeadMetric(head, "macro_auroc")(TaskPredictions(targets, probabilities))
        == whole["macro_auroc"]
    )
    assert head.metric("no_such_metric", targets, probabilities) is None


def test_a_head_made_of_ours_is_asked_for_its_own_metrics() -> None:
    class Other(MultiLabel):
        def metrics(
            self, targets: NDArray[Any], probabilities: NDArray[Any]
        ) -> dict[str, float | None]:
            return {"macro_f1": 0.125}

    targets, probabilities = labelled(5, 25, 2)
    assert Other().metric("macro_f1", targets, probabilities) == 0.125


def test_ordinal_labels_need_their_order() -> None:
    with pytest.raises(EmomtlError, match="`ordinal` needs the labels in their order"):
        SingleLabel(ordinal=True).check(None)
    in_order = Grouping("two", {"low": ("none", "some"), "high": ("much", "all")})
    SingleLabel(ordinal=True).check(Taxonomy(NAMES, [in_order]))
    mixed = Grouping("mixed", {"ends": ("none", "all"), "middle": ("some", "much")})
    with pytest.raises(EmomtlError, match="'mixed' does not keep the order"):
        SingleLabel(ordinal=True).check(Taxonomy(NAMES, [mixed]))
    SingleLabel().check(Taxonomy(NAMES, [mixed]))


def test_a_run_without_order_is_unchanged() -> None:
    from emomtl.manifest import differences

    before = {"tasks": {"a": {"head": {"use": "single-label", "lr": None}}}}
    for ordinal, wanted in ((False, []), (True, [("tasks.a.head.ordinal", None, True)])):
        after = {"tasks": {"a": {"head": {"use": "single-label", "lr": None, "ordinal": ordinal}}}}
        assert differences(before, after) == wanted
    assert differences({"train": {}}, {"train": {"ordinal": False}}) == [
        ("train.ordinal", None, False)
    ]

"""Tuned thresholds, temperatures and metrics without thresholds agree with scikit-learn, and see
only their own rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    jaccard_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
)

from emomtl import Grouping, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.metrics.scoring import Tuned, metric_names, score
from emomtl.metrics.tuning import TaskTuning, fit_task, tuned_metric, tuned_metrics, tuned_names

LABELS = ("joy", "anger", "fear")


def rows(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, 3), and probabilities whose logits are `shift` too high."""
    draw = np.random.default_rng(seed)
    logits = draw.normal([-0.5, -1.5, -2.5], 1.5, (n, 3))
    return (draw.random((n, 3)) < expit(logits)).astype(np.float32), expit(logits + shift)


def tuned(targets: np.ndarray, probabilities: np.ndarray) -> TaskTuning:
    found = fit_task(MultiLabel(), LABELS, targets, probabilities)
    assert found is not None
    return found


def test_metrics_at_tuned_thresholds_are_those_of_scikit_learn_on_other_rows() -> None:
    tuning = tuned(*rows(900, 1, shift=-1.0))
    targets, probabilities = rows(700, 2, shift=-1.0)
    found = tuned_metrics(MultiLabel(), None, targets, tuning.decisions(probabilities))
    for way, thresholds in tuning.thresholds.items():
        decided = (probabilities >= np.asarray(thresholds.values)).astype(int)
        for mean in ("macro", "micro", "weighted"):
            assert found[f"{mean}_f1_{way}"] == pytest.approx(
                f1_score(targets, decided, average=mean)
            )
        assert found[f"jaccard_{way}"] == pytest.approx(
            jaccard_score(targets, decided, average="samples", zero_division=1)
        )
    assert len(set(tuning.thresholds["tuned"].values)) == 1
    assert len(set(tuning.thresholds["tuned_by_label"].values)) == 3


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_label_s_threshold_is_the_best_of_the_precision_recall_curve_to_a_hundredth(
    seed: int,
) -> None:
    targets, _ = rows(400, seed)
    # so the grid has each of them
    probabilities = np.random.default_rng(seed).integers(1, 100, targets.shape) / 100
    thresholds = tuned(targets, probabilities).thresholds["tuned_by_label"]
    for label, name in enumerate(LABELS):
        if name in thresholds.shared:
            continue
        precision, recall, _ = precision_recall_curve(targets[:, label], probabilities[:, label])
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
        got = f1_score(targets[:, label], probabilities[:, label] >= thresholds.values[label])
        assert got == pytest.approx(best)


def test_the_optimism_is_what_tuning_gains_on_its_own_rows_and_not_on_others() -> None:
    draw = np.random.default_rng(3)
    names = tuple(f"label{n}" for n in range(20))
    targets, noise = (draw.random((300, 20)) < 0.1).astype(np.float32), draw.random((300, 20))
    found = fit_task(MultiLabel(), names, targets, noise)
    assert found is not None
    by_label = found.thresholds["tuned_by_label"]
    assert by_label.optimism is not None
    assert by_label.optimism > 0.01
    decided = (noise >= np.asarray(by_label.values)).astype(int)
    assert by_label.in_sample == pytest.approx(f1_score(targets, decided, average="macro"))
    assert found.untuned == pytest.approx(f1_score(targets, noise >= 0.5, average="macro"))


def test_a_label_with_few_positive_rows_takes_the_threshold_for_all() -> None:
    targets, probabilities = rows(600, 4)
    targets[:, 2] = 0
    targets[:5, 2] = 1
    found = tuned(targets, probabilities).thresholds
    assert found["tuned_by_label"].shared == ("fear",)
    assert found["tuned_by_label"].values[2] == found["tuned"].values[2]


def test_validation_is_scored_by_cross_fitting_and_other_rows_by_thresholds_that_never_saw_them() -> (
    None
):
    targets, logits = rows(500, 5)[0], np.random.default_rng(6).normal(size=(500, 3))
    tuning = tuned(targets, expit(logits))
    head, labels = MultiLabel(), Taxonomy(list(LABELS))
    own = score(head, labels, targets, logits, tuned=Tuned.cross_fitted())
    other = score(head, labels, targets, logits, tuned=Tuned.on_validation(tuning))
    for way, thresholds in tuning.thresholds.items():
        assert own.metrics[f"macro_f1_{way}"] == pytest.approx(thresholds.cross_fitted)
        assert other.metrics[f"macro_f1_{way}"] == pytest.approx(thresholds.in_sample)
    assert "cross-fitted" in own.said[0]
    assert other.said[0] == "metrics with `_tuned`: thresholds tuned on 500 validation rows"
    assert not [name for name in score(head, labels, targets, logits).metrics if "_tuned" in name]


def test_a_coarse_label_is_decided_where_one_of_its_members_is() -> None:
    taxonomy = Taxonomy(
        list(LABELS), groupings=(Grouping("sign", {"good": ["joy"], "bad": ["anger", "fear"]}),)
    )
    targets, probabilities = rows(800, 7)
    tuning = tuned(targets, probabilities)
    found = tuned_metrics(MultiLabel(), taxonomy, targets, tuning.decisions(probabilities))
    decided = probabilities >= np.asarray(tuning.thresholds["tuned_by_label"].values)
    coarse = [
        np.stack([one[:, 0], one[:, 1:].any(axis=1)], axis=1) for one in (targets > 0.5, decided)
    ]
    assert found["sign/macro_f1_tuned_by_label"] == pytest.approx(
        f1_score(*coarse, average="macro")
    )


def test_a_label_that_the_model_does_not_have_is_never_answered() -> None:
    targets, probabilities = rows(300, 8)
    tuning = tuned(targets, probabilities)
    wider = np.concatenate([probabilities, np.zeros((300, 1))], axis=1)
    for made in tuning.decisions(wider).values():
        assert made.shape == (300, 4)
        assert not made[:, 3].any()


def test_a_single_label_head_keeps_its_temperature_and_a_regression_nothing() -> None:
    draw = np.random.default_rng(9)
    logits = draw.normal(0, 2, (4000, 3))
    truth = np.array([draw.choice(3, p=softmax(row)) for row in logits])
    found = fit_task(SingleLabel(), LABELS, truth, softmax(2 * logits, axis=1))
    assert found is not None
    assert found.temperature == pytest.approx(2, rel=0.1)
    assert found.thresholds == {}
    numbers = np.zeros((4, 1), np.float32)
    assert fit_task(Regression(), ("value",), numbers, numbers) is None


def test_what_is_kept_of_a_tuning_is_read_again_and_nothing_else_is() -> None:
    found = tuned(*rows(300, 10))
    assert TaskTuning.from_json(found.as_json()) == found
    broken: Any = found.as_json()
    broken["thresholds"]["tuned"]["by_label"]["joy"] = 1.5
    with pytest.raises(ValueError, match=r"1\.5 is not between 0 and 1"):
        TaskTuning.from_json(broken)


def test_names_of_tuned_metrics_say_the_metric_and_the_way() -> None:
    taxonomy = Taxonomy(list(LABELS))
    names = tuned_names(MultiLabel(), taxonomy)
    assert {"macro_f1_tuned", "micro_f1_tuned", "macro_f1_tuned_by_label"} <= set(names)
    assert {tuned_metric(name)[0] for name in names} <= set(metric_names(MultiLabel(), taxonomy))
    assert tuned_metric("macro_f1_tuned_by_label") == ("macro_f1", "tuned_by_label")
    assert tuned_metric("macro_f1_tuned") == ("macro_f1", "tuned")
    assert tuned_metric("macro_f1_at_0.3") == ("macro_f1_at_0.3", None)
    assert tuned_names(SingleLabel(), taxonomy) == []


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_metrics_without_thresholds_agree_with_scikit_learn(seed: int, ties: bool) -> None:
    targets, probabilities = rows(200, seed)
    targets[:3] = [[1, 1, 1], [0, 0, 0], [1, 1, 1]]  # each label is defined
    scores = probabilities.round(1) + 0.01 if ties else probabilities
    found = MultiLabel().metrics(targets, scores)
    for mean in ("macro", "micro"):
        assert found[f"{mean}_average_precision"] == pytest.approx(
            average_precision_score(targets, scores, average=mean)
        )
        assert found[f"{mean}_auroc"] == pytest.approx(roc_auc_score(targets, scores, average=mean))
    one = scores / scores.sum(axis=1, keepdims=True)
    truth = np.concatenate([[0, 1, 2], np.random.default_rng(seed).integers(0, 3, 197)])
    single = SingleLabel().metrics(truth, one)
    assert single["log_loss"] == pytest.approx(log_loss(truth, one))
    assert single["macro_auroc"] == pytest.approx(roc_auc_score(truth, one, multi_class="ovr"))
    every = average_precision_score(np.eye(3)[truth], one, average="macro")
    assert single["macro_average_precision"] == pytest.approx(every)


def test_a_label_without_positive_rows_is_left_out_of_means_and_said() -> None:
    targets, probabilities = rows(200, 11)
    targets[:, 2] = 0
    found = MultiLabel().metrics(targets, probabilities)
    two = average_precision_score(targets[:, :2], probabilities[:, :2], average="macro")
    assert found["macro_average_precision"] == pytest.approx(two)
    assert found["macro_auroc"] == pytest.approx(
        roc_auc_score(targets[:, :2], probabilities[:, :2])
    )
    said = score(MultiLabel(), Taxonomy(list(LABELS)), targets, np.log(probabilities)).said
    assert any("no row has fear" in line and "average precision and AUROC" in line for line in said)
    nothing = MultiLabel().metrics(np.zeros((5, 3), np.float32), probabilities[:5])
    assert (nothing["macro_average_precision"], nothing["micro_auroc"]) == (None, None)


def test_log_loss_of_a_probability_of_zero_is_finite_and_less_is_better() -> None:
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = SingleLabel().metrics(np.array([0, 1]), sure)["log_loss"]
    assert found == pytest.approx(log_loss([0, 1], sure))
    assert SingleLabel().less_is_better("ekman/log_loss")
    assert SingleLabel().bounds("log_loss") == (0.0, np.inf)
    assert SingleLabel().metric("log_loss", np.array([0, 1]), sure) == found

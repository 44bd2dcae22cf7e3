"""Figures are those of scikit-learn and scipy on any data, undefined ones are None, and unknown
targets count nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from emomtl import MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.contracts.heads import MetricFacts
from emomtl.contracts.heads.ranking import RANKED
from emomtl.contracts.heads.single_label import MISSING
from emomtl.metrics.scoring import metric_names, score
from emomtl.metrics.tuning import tuned_names

RATES = ("precision", "recall", "f1")
NAMES = ("anger", "fear", "joy", "sadness")
TAXONOMY = Taxonomy(NAMES)
seeds = st.integers(0, 2**32 - 1)


def labelled(seed: int, rows: int, rate: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Random multi-label targets (float) and probabilities."""
    draw = np.random.default_rng(seed)
    return (draw.random((rows, 4)) < rate).astype(np.float32), draw.random((rows, 4)) ** 2


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 40), st.sampled_from([0.02, 0.3, 0.9]))
def test_multi_label_figures_are_scikit_learn_s(seed: int, rows: int, rate: float) -> None:
    targets, probabilities = labelled(seed, rows, rate)
    found = MultiLabel().metrics(targets, probabilities)
    for threshold, suffix in ((0.5, ""), (0.3, "_at_0.3")):
        decided = probabilities >= threshold
        defined = np.flatnonzero((targets.sum(axis=0) + decided.sum(axis=0)) > 0).repeat(2)
        # each column twice, which changes no mean: scikit-learn reads one column alone as two
        # classes
        for mean in ("macro", "micro", "weighted"):
            rates = (
                precision_recall_fscore_support(
                    targets[:, defined],
                    decided[:, defined].astype(int),
                    average=mean,
                    zero_division=0,
                )[:3]
                if len(defined)
                else (None,) * 3
            )
            for name, value in zip(RATES, rates, strict=True):
                ours = found[f"{mean}_{name}{suffix}"]
                if ours is None:
                    assert value is None or not targets.any()
                else:
                    assert ours == pytest.approx(value, abs=1e-12), f"{mean}_{name}{suffix}"
        assert found[f"subset_accuracy{suffix}"] == pytest.approx(
            accuracy_score(targets, decided.astype(int))
        )


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 40), st.integers(2, 5))
def test_single_label_figures_are_scikit_learn_s(seed: int, rows: int, labels: int) -> None:
    draw = np.random.default_rng(seed)
    targets, probabilities = draw.integers(0, labels, rows), draw.dirichlet(np.ones(labels), rows)
    found = SingleLabel().metrics(targets, probabilities)
    decided = probabilities.argmax(axis=1)
    assert found["top1_accuracy"] == pytest.approx(accuracy_score(targets, decided))
    for mean in ("macro", "weighted"):
        rates = precision_recall_fscore_support(targets, decided, average=mean, zero_division=0)[:3]
        assert [found[f"{mean}_{rate}"] for rate in RATES] == pytest.approx(list(rates))


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(3, 40))
def test_regression_figures_are_scipy_s_and_those_of_their_definition(seed: int, rows: int) -> None:
    from scipy.stats import pearsonr

    draw = np.random.default_rng(seed)
    truth = draw.normal(size=(rows, 2)).astype(np.float32)
    guess = truth * 0.5 + draw.normal(size=(rows, 2))
    truth[0, 1] = np.nan
    found = Regression(("v", "a")).metrics(truth, guess)
    r = [
        pearsonr(truth[:, 0], guess[:, 0])[0],
        pearsonr(truth[1:, 1], guess[1:, 1])[0] if rows > 2 else None,
    ]
    rmse = [
        math.sqrt(np.nanmean((truth[:, i].astype(np.float64) - guess[:, i]) ** 2)) for i in range(2)
    ]
    assert [found["pearson_r_v"], found["pearson_r_a"]] == pytest.approx(r, abs=1e-6)
    assert [found["rmse_v"], found["rmse_a"]] == pytest.approx(rmse, abs=1e-9)
    assert found["pearson_r"] == pytest.approx(np.mean(r), abs=1e-6)
    assert found["rmse"] == pytest.approx(np.mean(rmse))


def test_macro_means_leave_out_labels_without_positives_and_predictions() -> None:
    targets, probabilities = labelled(1, 30, 0.4)
    targets[:, 2], probabilities[:, 2] = 0, 0.1
    three = [0, 1, 3]
    table = MultiLabel().table(targets, probabilities, NAMES)
    assert table[2] == {
        "label": "joy",
        "support": 0,
        "predicted": 0,
        **dict.fromkeys((*RATES, "f1_at_0.3", *RANKED)),
    }
    whole = MultiLabel().metrics(targets, probabilities)
    part = MultiLabel().metrics(targets[:, three], probabilities[:, three])
    assert (
        whole["macro_f1"]
        == part["macro_f1"]
        == pytest.approx(np.mean([table[i]["f1"] for i in three]))
    )


@dataclass(frozen=True)
class SaysLittle(MultiLabel):
    """A head that names its main metric and nothing else."""

    main_metric: ClassVar[str] = "weighted_f1"
    headline: ClassVar[tuple[str, ...]] = ()
    reported: ClassVar[tuple[str, ...]] = ()


def test_by_default_a_head_shows_its_first_metrics() -> None:
    names = metric_names(SaysLittle(), TAXONOMY)
    facts = MetricFacts.of(SaysLittle(), names)
    assert facts.headline == (
        "weighted_f1",
        "macro_precision",
        "weighted_precision",
        "macro_recall",
    )
    assert facts.reported == tuple(names[:12])
    assert facts.errors == ()


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel(ordinal=True), Regression(("v", "a"))])
def test_what_a_head_shows_are_metrics_of_its_own(head: Any) -> None:
    taxonomy = None if head.kind == "regression" else TAXONOMY
    known = {*metric_names(head, taxonomy), *tuned_names(head, taxonomy)}
    assert set(head.headline) | set(head.reported) <= known
    facts = MetricFacts.of(head, sorted(known))
    assert facts.headline == head.headline
    assert head.main_metric in facts.headline
    assert head.main_metric in facts.reported


def test_a_regression_reports_each_dimension_beside_the_mean() -> None:
    head = Regression(("v", "a"))
    assert head.reported_metrics(metric_names(head, None)) == [
        *("pearson_r", "pearson_r_v", "pearson_r_a"),
        *("rmse", "rmse_v", "rmse_a"),
    ]


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel(), Regression(("v", "a"))])
def test_on_no_rows_every_figure_is_undefined(head: Any) -> None:
    taxonomy = None if head.kind == "regression" else TAXONOMY
    targets = np.asarray([head.encode(None, taxonomy)])[:0]
    found = score(head, taxonomy, targets, np.zeros((0, 2 if taxonomy is None else 4)))
    assert set(found.metrics) == set(metric_names(head, taxonomy))
    assert set(found.metrics.values()) == {None}
    assert found.rows == 0
    assert found.undefined


def test_a_constant_regression_has_no_correlation_and_an_error() -> None:
    found = Regression().metrics(np.ones((5, 1), np.float32), np.full((5, 1), 3.0))
    assert found == {"pearson_r": None, "rmse": 2.0}


def test_a_dimension_without_any_target_makes_the_mean_undefined() -> None:
    targets = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]], np.float32)
    found = Regression(("v", "a")).metrics(targets, np.array([[1.0, 1], [2, 2], [4, 3]]))
    assert found["rmse"] is None
    assert found["rmse_a"] is None
    assert found["rmse_v"] == pytest.approx(math.sqrt(1 / 3))


@given(seeds)
def test_unknown_labels_change_no_figure(seed: int) -> None:
    """Rows with an unknown cell: what remains known counts, and the cell itself does not, whatever
    is predicted there.
    """
    targets, probabilities = labelled(seed, 20, 0.4)
    unknown = np.random.default_rng(seed + 1).random(targets.shape) < 0.2
    targets[unknown] = np.nan
    other = np.where(unknown, 1 - probabilities, probabilities)
    head = MultiLabel()
    assert head.metrics(targets, probabilities) == head.metrics(targets, other)
    assert head.table(targets, probabilities, NAMES) == head.table(targets, other, NAMES)
    missing = np.full((3, 4), np.nan, np.float32)
    more = head.metrics(
        np.concatenate([targets, missing]), np.concatenate([probabilities, np.ones((3, 4))])
    )
    assert more == head.metrics(targets, probabilities)


def test_rows_without_label_change_no_single_label_figure() -> None:
    draw = np.random.default_rng(4)
    targets, probabilities = draw.integers(0, 4, 20), draw.dirichlet(np.ones(4), 20)
    more = (
        np.concatenate([targets, [MISSING] * 5]),
        np.concatenate([probabilities, draw.dirichlet(np.ones(4), 5)]),
    )
    head = SingleLabel()
    assert head.metrics(*more) == head.metrics(targets, probabilities)
    assert head.table(*more, NAMES) == head.table(targets, probabilities, NAMES)


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel(), Regression(("v", "a"))])
def test_unknown_targets_cost_no_loss_and_have_no_gradient(head: Any) -> None:
    import torch

    taxonomy = None if head.kind == "regression" else TAXONOMY
    known = ["joy", "fear"] if taxonomy else [(0.5, None), (1.0, 2.0)]
    targets = np.stack([np.asarray(head.encode(label, taxonomy)) for label in [*known, None]])
    logits = torch.randn(3, 4 if taxonomy else 2, requires_grad=True)
    loss = head.loss(logits, torch.from_numpy(targets))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[2] == 0).all()
    assert loss.item() == pytest.approx(head.loss(logits[:2], torch.from_numpy(targets[:2])).item())
    if taxonomy is None:
        assert logits.grad[0, 1] == 0
    nothing = head.loss(logits, torch.from_numpy(np.stack([targets[2]] * 3)))
    assert nothing.item() == 0
    assert head.present(targets).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "name", ["macro_f1", "macro_recall", "macro_precision", "macro_recall_at_0.3", "micro_f1"]
)
@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel()], ids=["multi-label", "single-label"])
def test_metrics_of_bootstrap_samples_are_those_of_their_rows(head: Any, name: str) -> None:
    random = np.random.default_rng(7)
    targets = (random.random((40, 4)) < (0.3, 0.3, 0.02, 0.0)).astype(float)
    targets[random.random(targets.shape) < 0.1] = np.nan
    if head.kind == "single-label":
        targets = random.choice([0, 1, 2, -100], 40)
        name = name.removesuffix("_at_0.3").replace("micro_f1", "top1_accuracy")
    probabilities = np.where(random.random((40, 4)) < 0.6, 0.1, random.random((40, 4)))
    samples = random.integers(0, 40, (120, 40))
    by_rows = [head.metric(name, targets[rows], probabilities[rows]) for rows in samples]
    assert head.metric_on_samples(name, targets, probabilities, samples) == pytest.approx(
        by_rows, abs=1e-12
    )


def test_a_sample_without_any_label_has_no_macro_f1() -> None:
    samples = np.zeros((3, 2), dtype=int)
    nothing = MultiLabel().metric_on_samples(
        "macro_f1", np.zeros((2, 1)), np.zeros((2, 1)), samples
    )
    assert np.isnan(nothing).all()

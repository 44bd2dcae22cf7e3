"""Labels to targets and probabilities to answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.testing import check_head

TAXONOMY = Taxonomy(["anger", "fear", "joy"])


@pytest.mark.parametrize(
    "head", [MultiLabel(), SingleLabel(), Regression(("v", "a"), low=1, high=5)]
)
def test_our_heads_pass_the_check_for_heads(head: Any) -> None:
    check_head(head, None if head.kind == "regression" else TAXONOMY)


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ("joy", [0, 0, 1]),
        (["joy", "anger"], [1, 0, 1]),
        ([], [0, 0, 0]),
        ({"joy": 0.4, "fear": None}, [np.nan, np.nan, 0.4]),
    ],
)
def test_multi_labels_are_one_name_several_none_or_soft_values(
    label: Any, target: list[float]
) -> None:
    np.testing.assert_allclose(MultiLabel().encode(label, TAXONOMY), np.array(target, np.float32))


@pytest.mark.parametrize("label", ["joyy", ["joy", "angst"], {"joy": 1.5}, {"hope": 1.0}])
def test_a_label_outside_the_taxonomy_or_the_range_is_refused(label: Any) -> None:
    with pytest.raises(EmomtlError):
        MultiLabel().encode(label, TAXONOMY)


@pytest.mark.parametrize("label", [["joy", "fear"], [], 3, {"joy": 1.0}])
def test_a_single_label_head_takes_one_name(label: Any) -> None:
    with pytest.raises(EmomtlError, match=r"not one name|unknown label|are a soft label"):
        SingleLabel().encode(label, TAXONOMY)


def test_answers_are_the_labels_above_the_threshold() -> None:
    probabilities = np.array([[0.2, 0.9, 0.4], [0.1, 0.0, 0.2]])
    assert MultiLabel(threshold=0.4).decode(probabilities, TAXONOMY.names) == [
        [("fear", 0.9), ("joy", 0.4)],
        [],
    ]
    assert SingleLabel().decode(probabilities, TAXONOMY.names) == [[("fear", 0.9)], [("joy", 0.2)]]
    assert Regression(("v", "a")).decode(probabilities[:, :2], ("v", "a"))[0] == [
        ("v", 0.2),
        ("a", 0.9),
    ]


def test_a_regression_has_bounds_and_starts_in_their_middle() -> None:
    head = Regression(low=1.0, high=5.0)
    assert head.encode("3.5", None).tolist() == [3.5]
    assert np.isnan(head.encode("", None)).all()
    with pytest.raises(EmomtlError, match=r"5\.5, outside 1\.0\.\.5\.0"):
        head.encode(5.5, None)
    module: Any = head.build(4, None)
    assert module[1].bias.tolist() == [3.0]


SOFT = SingleLabel(soft=True)


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ("joy", [0, 0, 1]),
        (["joy"], [0, 0, 1]),
        ({"joy": 0.25, "anger": 0.75}, [0.75, 0, 0.25]),
        ({"joy": 0.5, "anger": 0.5, "fear": None}, [0.5, 0, 0.5]),
        (None, [np.nan] * 3),
    ],
)
def test_a_soft_label_is_a_distribution_over_the_labels(label: Any, target: list[float]) -> None:
    np.testing.assert_allclose(SOFT.encode(label, TAXONOMY), np.array(target, np.float32))


@pytest.mark.parametrize(
    "label",
    [{"joy": 0.5}, {"joy": 1.5, "fear": -0.5}, {"joy": 10**400}, {"joy": "much"}, ["joy", "fear"]],
)
def test_shares_that_are_no_distribution_are_refused(label: Any) -> None:
    with pytest.raises(EmomtlError, match=r"sum of 0\.5|has the share|not one name"):
        SOFT.encode(label, TAXONOMY)


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e400, "1e400"])
def test_a_number_that_no_float_holds_is_refused(value: Any) -> None:
    with pytest.raises(EmomtlError, match="has the value"):
        MultiLabel().encode({"joy": value}, TAXONOMY)
    with pytest.raises(EmomtlError, match="not a finite number"):
        Regression().encode(value, None)


def test_soft_labels_have_the_cross_entropy_of_distributions() -> None:
    import torch

    logits = torch.tensor([[0.2, -1.0, 0.5], [1.0, 0.0, -1.0], [3.0, 1.0, 2.0]])
    shares = np.array([[0.75, 0, 0.25], [0, 1, 0], [np.nan] * 3], np.float32)
    log_q = torch.log_softmax(logits, dim=1).numpy()
    wanted = -(shares[:2] * log_q[:2]).sum() / 2
    assert SOFT.loss(logits, torch.from_numpy(shares)).item() == pytest.approx(float(wanted))
    assert SOFT.known(shares).tolist() == [1, 1, 0]
    hard = torch.tensor([0, 1, -100])
    one_hot = torch.from_numpy(np.array([[1, 0, 0], [0, 1, 0], [np.nan] * 3], np.float32))
    assert SOFT.loss(logits, one_hot).item() == pytest.approx(
        SingleLabel().loss(logits, hard).item()
    )


def test_soft_labels_are_scored_by_the_largest_share() -> None:
    from emomtl.metrics.scoring import score

    shares = np.array([[0.6, 0.4, 0], [0, 0.5, 0.5], [0.1, 0.2, 0.7], [np.nan] * 3], np.float32)
    logits = np.array([[2.0, 1, 0], [0, 2, 1], [2, 1, 0], [0, 0, 0]])
    soft = score(SOFT, TAXONOMY, shares, logits)
    assert SOFT.decided(shares).tolist() == [0, 1, 2, -100]
    hard = score(SingleLabel(), TAXONOMY, np.array([0, 1, 2, -100]), logits)
    distributions = {"cross_entropy", "kl_divergence", "jensen_shannon"}
    assert {
        name: value for name, value in soft.metrics.items() if name not in distributions
    } == hard.metrics
    assert distributions <= set(soft.facts.errors)
    assert soft.tables == hard.tables
    assert soft.unlabelled == 1
    assert soft.remarks == (
        "soft labels: metrics are taken against the label with the largest share",
        "1 row(s) have several such labels; the first one counts",
    )


def test_distributions_are_compared_as_scipy_compares_them() -> None:
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy

    draw = np.random.default_rng(4)
    shares, logits = draw.dirichlet([1, 1, 1], 20).astype(np.float32), draw.normal(size=(20, 3))
    q = SOFT.probabilities(logits)
    found = SOFT.metrics(shares, q)
    divergences = [entropy(one, other) for one, other in zip(shares, q, strict=True)]
    assert found["kl_divergence"] == pytest.approx(np.mean(divergences), rel=1e-5)
    entropies = [entropy(one) for one in shares]
    assert found["cross_entropy"] == pytest.approx(
        np.mean(divergences) + np.mean(entropies), rel=1e-5
    )
    distances = [
        jensenshannon(one, other, base=2) ** 2 for one, other in zip(shares, q, strict=True)
    ]
    assert found["jensen_shannon"] == pytest.approx(np.mean(distances), rel=1e-5)
    assert SOFT.metrics(shares, shares.astype(np.float64))["jensen_shannon"] == pytest.approx(
        0, abs=1e-9
    )
    for name in ("cross_entropy", "kl_divergence", "jensen_shannon"):
        assert SOFT.metric(name, shares, q) == found[name]
        assert SOFT.less_is_better(name)
    opposite = SOFT.metrics(np.array([[1, 0, 0]], np.float32), np.array([[0.0, 1, 0]]))
    assert opposite["jensen_shannon"] == pytest.approx(1.0)
    assert opposite["cross_entropy"] == pytest.approx(-np.log(1e-12))


def test_soft_sets_say_from_which_share_on_a_label_counts() -> None:
    soft = np.array([[0.5, 0.0, 1.0], [0.2, np.nan, 1.0]], np.float32)
    assert MultiLabel().remarks(soft) == [
        "soft labels: for metrics a text has a label from a share of 0.5 on",
        "1 label(s) of a text have a share of exactly 0.5, and count",
    ]
    assert MultiLabel().remarks(np.round(soft)) == []


def test_objectives_see_one_label_of_a_soft_one() -> None:
    import torch

    from emomtl.train.losses import decided_targets

    shares = torch.tensor([[0.6, 0.4, 0.0], [float("nan")] * 3])
    assert decided_targets(SOFT, shares).tolist() == [0, -100]
    assert decided_targets(MultiLabel(), shares) is shares


def test_a_soft_head_holds_what_is_expected_of_any_head() -> None:
    from emomtl.testing import check_head

    check_head(SOFT, TAXONOMY)
    check_head(SOFT, TAXONOMY, [{"joy": 0.5, "anger": 0.5}, "fear", {"joy": 0.2, "fear": 0.8}])

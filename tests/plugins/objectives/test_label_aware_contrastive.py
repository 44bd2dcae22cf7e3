"""The label-aware contrastive loss, against a plain reading of the authors' published loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from emomtl import EmomtlError, HeadOutput, Regression, SingleLabel, Taxonomy, View
from emomtl_plugins.objectives.label_aware_contrastive import LabelAwareContrastive
from emomtl_plugins.objectives.supervised_contrastive import SupervisedContrastive

ONE = [0, 1, 0, 2, 1, 0, 4, None]
SEVERAL = [[0], [0, 1], [1, 2], [3], [], None, [0, 1, 2]]


def label_aware(pooled, labels, weights, temperature):
    """−1/|P| sum_p w_ip log(exp(s_ip) / sum_a w_ia exp(s_ia)), with loops; `weights[i][a]` are
    given.
    """
    known = [i for i, label in enumerate(labels) if label is not None]
    z = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    terms = []
    for i in known:
        others = [a for a in known if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        below = sum(weights[i][a] * math.exp(z[i] @ z[a] / temperature) for a in others)
        if positives:
            whole = sum(
                weights[i][p] * math.log(math.exp(z[i] @ z[p] / temperature) / below)
                for p in positives
            )
            terms.append(-whole / len(positives))
    return sum(terms) / len(terms)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_weights_are_the_probabilities_of_the_others_labels(view, loss_of):
    for seed in range(4):
        given = view(ONE, seed)
        p = softmax(given.own.logits.numpy())
        weights = [[p[i, label or 0] for label in ONE] for i in range(len(ONE))]
        wanted = label_aware(given.pooled.numpy(), ONE, weights, 0.3)
        assert loss_of(LabelAwareContrastive(), given) == pytest.approx(wanted, rel=1e-10)


def test_no_gradient_goes_through_the_weights(view):
    given = view(ONE)
    logits = given.own.logits.clone().requires_grad_()
    pooled = given.pooled.clone().requires_grad_()
    loss = LabelAwareContrastive().loss(
        torch.nn.Identity(), View(pooled, HeadOutput(logits, given.own.targets, given.own.taxonomy))
    )
    of_pooled, of_logits = torch.autograd.grad(loss, [pooled, logits], allow_unused=True)
    assert of_pooled.any()
    assert of_logits is None


def test_negatives_with_confused_labels_are_pushed_harder(view):
    own = view([0, 0, 1, 2]).own
    sure = torch.full((4, 5), -9.0, dtype=torch.float64)
    sure[:, 0], sure[:, 1] = 9.0, 8.0
    pooled = torch.tensor(
        [[1.0, 0.0], [1.0, 0.1], [0.6, 0.8], [0.6, -0.8]], dtype=torch.float64, requires_grad=True
    )
    LabelAwareContrastive().loss(
        torch.nn.Identity(), View(pooled, HeadOutput(sure, own.targets, own.taxonomy))
    ).backward()
    assert pooled.grad is not None
    pushes = pooled.grad.norm(dim=1)
    assert pushes[2] > 10 * pushes[3]


def test_labels_with_near_vad_points_weigh_more(view, labels, loss_of):
    given = view(ONE)
    points = np.array([label.vad for label in labels.labels])
    gap = np.linalg.norm(points[:, None] - points[None], axis=2) / math.sqrt(3)
    weights = [[1 - gap[a or 0, b or 0] for b in ONE] for a in ONE]
    wanted = label_aware(given.pooled.numpy(), ONE, weights, 0.3)
    assert loss_of(LabelAwareContrastive(weights="vad"), given) == pytest.approx(wanted, rel=1e-6)


def test_labels_that_share_parents_weigh_more(view, labels, loss_of):
    given = view(ONE)
    shared = [
        [sum(g.parents[a] == g.parents[b] for g in labels.groupings) for b in labels.names]
        for a in labels.names
    ]
    weights = [[(1 + shared[a or 0][b or 0]) / 3 for b in ONE] for a in ONE]
    wanted = label_aware(given.pooled.numpy(), ONE, weights, 0.3)
    assert loss_of(LabelAwareContrastive(weights="groupings"), given) == pytest.approx(
        wanted, rel=1e-10
    )


def test_equal_weights_give_the_plain_contrastive_loss(view, loss_of):
    given = view(ONE)
    even = View(
        given.pooled,
        HeadOutput(torch.zeros_like(given.own.logits), given.own.targets, given.own.taxonomy),
    )
    z, labels = given.pooled.numpy(), [label for label in ONE if label is not None]
    weights = [[0.2] * len(labels)] * len(labels)
    assert loss_of(LabelAwareContrastive(), even) == pytest.approx(
        label_aware(z, ONE[:-1], weights, 0.3), rel=1e-10
    )
    # log(1/w) goes into each positive's term: the weight stands in the sum below and not above it
    plain = loss_of(SupervisedContrastive(), given)
    assert loss_of(LabelAwareContrastive(), even) == pytest.approx(
        0.2 * (plain + math.log(0.2)), rel=1e-10
    )


@pytest.mark.parametrize("weights", ["model", "vad", "groupings"])
@pytest.mark.parametrize("targets", [ONE, SEVERAL], ids=["one label", "several"])
def test_its_gradient_is_that_of_finite_differences(
    view, loss_of, assert_gradients, weights, targets
):
    objective, given = LabelAwareContrastive(weights=weights), view(targets)
    order = list(reversed(range(len(targets))))
    own = HeadOutput(given.own.logits[order], given.own.targets[order], given.own.taxonomy)
    turned = View(given.pooled[order], own)
    assert loss_of(objective, turned) == pytest.approx(loss_of(objective, given), rel=1e-9)
    assert_gradients(objective, given)


def test_weights_that_need_vad_or_groupings_are_checked():
    bare = Taxonomy(["joy", "fear"])
    tasks = {"mood": (SingleLabel(), bare), "arousal": (Regression(), None)}
    LabelAwareContrastive().check("mood", tasks)
    with pytest.raises(
        EmomtlError, match="label 'joy' of 'mood' has no point of valence, arousal and dominance"
    ):
        LabelAwareContrastive(weights="vad").check("mood", tasks)
    with pytest.raises(EmomtlError, match="the labels of 'mood' have no grouping"):
        LabelAwareContrastive(weights="groupings").check("mood", tasks)
    with pytest.raises(EmomtlError, match="'arousal' answers with numbers and has no labels"):
        LabelAwareContrastive().check("arousal", tasks)

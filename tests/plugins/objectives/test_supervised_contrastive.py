"""The supervised contrastive loss, against equation 2 of Khosla et al. (2020) written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import HeadOutput, View
from emomtl_plugins.objectives.supervised_contrastive import SupervisedContrastive

ONE = [0, 1, 0, 2, 1, 0, 4, None]
"""Label 2 and label 4 stand once; the last text has no label."""
SEVERAL = [[0], [0, 1], [1, 2], [3], [], None, [0, 1, 2]]


def khosla(pooled, labels, temperature):
    """Equation 2 with loops: one label a text, anchors without a positive left out, the mean over
    the others.
    """
    known = [i for i, label in enumerate(labels) if label is not None]
    z = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    terms = []
    for i in known:
        others = [a for a in known if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        below = sum(math.exp(z[i] @ z[a] / temperature) for a in others)
        if positives:
            terms.append(
                -sum(math.log(math.exp(z[i] @ z[p] / temperature) / below) for p in positives)
                / len(positives)
            )
    return sum(terms) / len(terms) if terms else 0.0


def jaccard_weighted(pooled, sets, temperature):
    """The same where positives count by the Jaccard index of label sets."""
    known = [i for i, one in enumerate(sets) if one is not None]
    z = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    terms = []
    for i in known:
        others = [a for a in known if a != i]
        union = {p: len({*sets[i], *sets[p]}) for p in others}
        weight = {p: len({*sets[i]} & {*sets[p]}) / union[p] if union[p] else 0.0 for p in others}
        below = sum(math.exp(z[i] @ z[a] / temperature) for a in others)
        if sum(weight.values()) > 0:
            whole = sum(
                w * math.log(math.exp(z[i] @ z[p] / temperature) / below) for p, w in weight.items()
            )
            terms.append(-whole / sum(weight.values()))
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("temperature", [0.07, 0.3, 2.0])
def test_with_one_label_it_is_the_loss_of_the_paper(view, loss_of, temperature):
    for seed in range(4):
        given = view(ONE, seed)
        wanted = khosla(given.pooled.numpy(), ONE, temperature)
        assert loss_of(SupervisedContrastive(temperature), given) == pytest.approx(
            wanted, rel=1e-10
        )


def test_positives_count_by_the_overlap_of_label_sets(view, loss_of):
    for seed in range(4):
        given = view(SEVERAL, seed)
        wanted = jaccard_weighted(given.pooled.numpy(), SEVERAL, 0.3)
        assert loss_of(SupervisedContrastive(), given) == pytest.approx(wanted, rel=1e-10)


def test_sets_of_one_label_give_the_loss_of_single_labels(view, loss_of):
    several = view([[one] if one is not None else None for one in ONE])
    assert loss_of(SupervisedContrastive(), several) == pytest.approx(
        loss_of(SupervisedContrastive(), view(ONE)), rel=1e-12
    )


def test_texts_grouped_by_label_have_nearly_no_loss(view, loss_of):
    axis = torch.eye(2, dtype=torch.float64)
    together = View(axis[[0, 0, 1, 1]], view([0, 0, 1, 1]).own)
    across = View(axis[[0, 1, 0, 1]], view([0, 0, 1, 1]).own)
    assert loss_of(SupervisedContrastive(0.05), together) < 1e-6
    assert loss_of(SupervisedContrastive(0.05), across) > 10


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(len(SEVERAL))), stretch=st.floats(0.01, 100), turn=st.floats(0, 6.3)
)
def test_neither_order_nor_length_nor_rotation_of_vectors_changes_it(
    view, loss_of, order, stretch, turn
):
    given = view(SEVERAL, seed=3, width=2)
    rotation = torch.tensor(
        [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64
    )
    order = list(order)
    own = HeadOutput(given.own.logits[order], given.own.targets[order], given.own.taxonomy)
    changed = View(given.pooled[order] @ rotation * stretch, own)
    assert loss_of(SupervisedContrastive(), changed) == pytest.approx(
        loss_of(SupervisedContrastive(), given), rel=1e-9
    )


@pytest.mark.parametrize("targets", [ONE, SEVERAL], ids=["one label", "several"])
def test_its_gradient_is_that_of_finite_differences(view, assert_gradients, targets):
    assert_gradients(SupervisedContrastive(), view(targets))


@pytest.mark.parametrize("targets", [[0, 1, 2], [None, None], [None, 0], [0], [[], []], [[0], [1]]])
def test_without_a_shared_label_loss_and_gradient_are_zero(view, targets):
    given = view(targets)
    pooled = given.pooled.clone().requires_grad_()
    loss = SupervisedContrastive().loss(torch.nn.Identity(), View(pooled, given.own))
    (gradient,) = torch.autograd.grad(loss, [pooled])
    assert loss.item() == 0.0
    assert not gradient.any()


def test_vectors_in_bf16_are_computed_with_in_fp32(view):
    given = view(ONE)
    pooled = given.pooled.bfloat16()
    loss = SupervisedContrastive(0.01).loss(torch.nn.Identity(), View(pooled, given.own))
    assert loss.dtype == torch.float64
    in_fp32 = View(
        pooled, HeadOutput(given.own.logits.bfloat16(), given.own.targets, given.own.taxonomy)
    )
    found = SupervisedContrastive(0.01).loss(torch.nn.Identity(), in_fp32)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(khosla(pooled.double().numpy(), ONE, 0.01), rel=1e-4)


def test_a_projection_has_two_layers_and_gets_gradients(view, labels):
    objective = SupervisedContrastive(projection=2)
    module = objective.build(3, labels).double()
    given = view(ONE)
    assert module(given.pooled).shape == (len(ONE), 2)
    objective.loss(module, given).backward()
    assert all(
        one.grad is not None and one.grad.any()
        for name, one in module.named_parameters()
        if "weight" in name
    )

"""The regulariser over related labels, against loops over pairs of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emomtl import EmomtlError, HeadOutput, MultiLabel, Taxonomy, View
from emomtl_plugins.objectives.label_relations import LabelRelations

ONE = [0, 1, 3, None]
SEVERAL = [[0], [0, 2], [], None]


def by_loops(p, labels, grouping, apart):
    """Mean over texts, and over all pairs of labels, of R_ij (p_i − p_j)²."""
    total = 0.0
    for row in p:
        for i, one in enumerate(labels.names):
            for j, other in enumerate(labels.names):
                parents = grouping.parents[one], grouping.parents[other]
                relation = 0 if set(parents) & set(apart) else 1 if parents[0] == parents[1] else -1
                total += relation * (row[i] - row[j]) ** 2
    return total / (len(p) * len(labels) ** 2)


@pytest.mark.parametrize(("number", "name"), [(0, "tone"), (1, "force"), (1, None)])
@pytest.mark.parametrize("apart", [(), ("open",)])
def test_it_is_the_mean_of_related_gaps(view, labels, loss_of, number, name, apart):
    given = view(SEVERAL)
    p = 1 / (1 + np.exp(-given.own.logits.numpy()[:3]))
    wanted = by_loops(p, labels, labels.groupings[number], apart)
    assert loss_of(LabelRelations(name, apart), given) == pytest.approx(wanted, rel=1e-10)


def test_with_one_label_the_probabilities_are_a_softmax(view, labels, loss_of):
    given = view(ONE)
    p = given.own.logits.softmax(dim=1).numpy()[:3]
    assert loss_of(LabelRelations(), given) == pytest.approx(
        by_loops(p, labels, labels.groupings[1], ()), rel=1e-10
    )


def test_like_probabilities_within_groups_have_the_least_loss(view, labels, loss_of):
    def of(*logits):
        own = HeadOutput(
            torch.tensor([logits], dtype=torch.float64),
            torch.zeros(1, 5, dtype=torch.float64),
            labels,
        )
        return loss_of(LabelRelations("tone"), View(torch.zeros(1, 3), own))

    assert of(0, 0, 0, 0, 0) == 0.0
    assert of(99, 99, -99, -99, -99) == pytest.approx(-12 / 25), (
        "six of ten pairs apart, each counted twice"
    )
    assert of(99, -99, 99, -99, 0) > of(99, 99, -99, -99, 0)


@pytest.mark.parametrize("targets", [ONE, SEVERAL], ids=["one label", "several"])
def test_its_gradient_is_that_of_finite_differences(view, targets):
    given = view(targets)

    def loss(logits):
        own = HeadOutput(logits, given.own.targets, given.own.taxonomy)
        return LabelRelations().loss(torch.nn.Module(), View(given.pooled, own))

    assert torch.autograd.gradcheck(loss, [given.own.logits.clone().requires_grad_()])


def test_labels_without_the_grouping_are_refused(labels):
    tasks = {"fine": (MultiLabel(), labels), "bare": (MultiLabel(), Taxonomy(["red", "green"]))}
    LabelRelations("tone").check("fine", tasks)
    with pytest.raises(EmomtlError, match="unknown grouping 'tune'"):
        LabelRelations("tune").check("fine", tasks)
    with pytest.raises(EmomtlError, match="the labels of 'bare' have no grouping"):
        LabelRelations().check("bare", tasks)

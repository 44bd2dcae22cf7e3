"""The hierarchical loss, against probabilities that are folded and compared with numpy in double
precision.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emomtl import EmomtlError, Grouping, HeadOutput, MultiLabel, SingleLabel, Taxonomy, View
from emomtl_plugins.objectives.hierarchical import Hierarchical

ONE = [0, 1, 3, 2, 4, None]
SEVERAL = [[0], [0, 2], [1, 3, 4], [], None]
COARSE = Taxonomy(["open", "unpleasant", "pleasant"])
"""The labels of the grouping `tone`, in another order."""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def folded(p, taxonomy, grouping, fold):
    """Probabilities of the parents (B, G), in the grouping's order."""
    columns = []
    for members in grouping.groups.values():
        part = p[:, [taxonomy.index(member) for member in members]]
        columns.append(
            {
                "max": part.max(axis=1),
                "any": 1 - np.prod(1 - part, axis=1),
                "sum": part.sum(axis=1),
            }[fold]
        )
    return np.stack(columns, axis=1)


def bernoulli(wanted, p):
    return -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p))


@pytest.mark.parametrize("fold", ["any", "max"])
def test_with_several_labels_it_is_the_folded_cross_entropy(view, labels, loss_of, fold):
    given = view(SEVERAL)
    p, known = sigmoid(given.own.logits.numpy()), slice(0, 4)
    wanted = []
    for grouping in labels.groupings:
        names = [[labels.names[i] for i in one] for one in SEVERAL[known]]
        truth = np.array(
            [[name in grouping.fold(one) for name in grouping.names] for one in names], float
        )
        wanted.append(bernoulli(truth, folded(p[known], labels, grouping, fold)).mean())
    assert loss_of(Hierarchical(fold=fold), given) == pytest.approx(np.mean(wanted), rel=1e-10)


def test_with_one_label_it_is_the_parents_cross_entropy(view, labels, loss_of):
    given = view(ONE)
    powers = np.exp(given.own.logits.numpy())
    p = powers / powers.sum(axis=1, keepdims=True)
    wanted = []
    for grouping in labels.groupings:
        coarse = folded(p, labels, grouping, "sum")
        parents = [
            grouping.names.index(grouping.parents[labels.names[one]])
            for one in ONE
            if one is not None
        ]
        wanted.append(np.mean([-np.log(coarse[i, parent]) for i, parent in enumerate(parents)]))
    for fold in ("any", "max"):
        assert loss_of(Hierarchical(fold=fold), given) == pytest.approx(np.mean(wanted), rel=1e-10)


def test_groupings_can_be_chosen_by_name(view, loss_of):
    given = view(SEVERAL)
    each = [loss_of(Hierarchical(groupings=(name,)), given) for name in ("tone", "force")]
    assert each[0] != pytest.approx(each[1])
    assert loss_of(Hierarchical(), given) == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize("fold", ["any", "max"])
def test_agreement_is_the_symmetric_divergence_on_common_texts(view, labels, loss_of, fold):
    draw = np.random.default_rng(9)
    coarse = HeadOutput(torch.tensor(draw.normal(size=(3, 3))), torch.zeros(3, 3), COARSE)
    given = view(SEVERAL, coarse=coarse)
    p = folded(sigmoid(given.own.logits.numpy()), labels, labels.groupings[0], fold)[:3, [2, 1, 0]]
    q = sigmoid(coarse.logits.numpy())
    both = (
        p * np.log(p / q)
        + (1 - p) * np.log((1 - p) / (1 - q))
        + q * np.log(q / p)
        + (1 - q) * np.log((1 - q) / (1 - p))
    )
    objective = Hierarchical(groupings=(), fold=fold, between="coarse")
    assert loss_of(objective, given) == pytest.approx(both.mean(), rel=1e-9)
    whole = loss_of(Hierarchical(fold=fold, between="coarse"), given)
    assert whole == pytest.approx(both.mean() + loss_of(Hierarchical(fold=fold), given), rel=1e-9)


def test_agreement_of_single_labels_is_the_divergence_of_both_distributions(view, labels, loss_of):
    coarse = HeadOutput(
        torch.tensor(np.random.default_rng(9).normal(size=(6, 3))),
        torch.zeros(6, dtype=torch.int64),
        COARSE,
    )
    given = view(ONE, coarse=coarse)
    p = folded(given.own.logits.softmax(dim=1).numpy(), labels, labels.groupings[0], "sum")[
        :, [2, 1, 0]
    ]
    q = coarse.logits.softmax(dim=1).numpy()
    wanted = ((p - q) * (np.log(p) - np.log(q))).mean()
    assert loss_of(Hierarchical(groupings=(), between="coarse"), given) == pytest.approx(
        wanted, rel=1e-9
    )


def test_heads_that_say_the_same_agree_and_get_no_gradient(view, labels):
    given = view(SEVERAL)
    logits = given.own.logits.clone().requires_grad_()
    p = folded(sigmoid(given.own.logits.numpy()), labels, labels.groupings[0], "any")[:, [2, 1, 0]]
    coarse = HeadOutput(
        torch.tensor(np.log(p / (1 - p))).requires_grad_(), torch.zeros(5, 3), COARSE
    )
    own = HeadOutput(logits, given.own.targets, labels)
    loss = Hierarchical(groupings=(), between="coarse").loss(
        torch.nn.Module(), View(given.pooled, own, {"coarse": coarse})
    )
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-12)
    assert all(one.abs().max() < 1e-9 for one in torch.autograd.grad(loss, [logits, coarse.logits]))


def test_without_common_texts_only_the_targets_count(view, loss_of):
    given = view(SEVERAL)
    assert loss_of(Hierarchical(between="coarse"), given) == loss_of(Hierarchical(), given)
    assert loss_of(Hierarchical(groupings=(), between="coarse"), given) == 0.0


@pytest.mark.parametrize("fold", ["any", "max"])
@pytest.mark.parametrize("targets", [ONE, SEVERAL], ids=["one label", "several"])
def test_its_gradient_is_that_of_finite_differences(view, fold, targets):
    given = view(targets)
    kind = torch.float64 if given.own.targets.is_floating_point() else torch.int64
    coarse = torch.tensor(np.random.default_rng(4).normal(size=(len(targets), 3)))

    def loss(own, other):
        beside = {"coarse": HeadOutput(other, torch.zeros(len(targets), dtype=kind), COARSE)}
        view = View(given.pooled, HeadOutput(own, given.own.targets, given.own.taxonomy), beside)
        return Hierarchical(fold=fold, between="coarse").loss(torch.nn.Module(), view)

    assert torch.autograd.gradcheck(
        loss, [one.clone().requires_grad_() for one in (given.own.logits, coarse)]
    )


def test_a_partly_known_label_set_counts_where_its_parent_follows(view, labels, loss_of):
    given = view([[0]])
    targets = torch.tensor([[1.0, torch.nan, torch.nan, 0.0, 0.0]], dtype=torch.float64)
    found = loss_of(
        Hierarchical(groupings=("tone",)),
        View(given.pooled, HeadOutput(given.own.logits, targets, labels)),
    )
    p = folded(sigmoid(given.own.logits.numpy()), labels, labels.groupings[0], "any")[0]
    assert found == pytest.approx(np.mean([-np.log(p[0]), -np.log(1 - p[2])]), rel=1e-10)


@pytest.mark.parametrize("size", [60.0, 300.0])
@pytest.mark.parametrize("fold", ["any", "max"])
def test_very_sure_logits_in_fp32_give_finite_losses_and_gradients(view, labels, size, fold):
    targets = view([[0], [2, 3]]).own.targets
    for sign in (1.0, -1.0):
        logits = torch.full((2, 5), sign * size, requires_grad=True)
        coarse = HeadOutput(torch.full((2, 3), -sign * size), torch.zeros(2, 3), COARSE)
        own = View(
            torch.zeros(2, 3), HeadOutput(logits, targets.float(), labels), {"coarse": coarse}
        )
        loss = Hierarchical(fold=fold, between="coarse").loss(torch.nn.Module(), own)
        (gradient,) = torch.autograd.grad(loss, [logits])
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_options_that_do_not_fit_the_labels_are_refused(labels):
    fine, several, one = labels, MultiLabel(), SingleLabel()
    other = Taxonomy(["red", "green"])
    tasks = {
        "fine": (several, fine),
        "coarse": (several, COARSE),
        "other": (several, other),
        "single": (one, COARSE),
    }
    Hierarchical(between="coarse").check("fine", tasks)
    for objective, of, message in (
        (Hierarchical(groupings=("tune",)), "fine", "unknown grouping 'tune'"),
        (Hierarchical(), "other", "there is nothing to compare the labels of 'other' with"),
        (Hierarchical(groupings=()), "fine", "there is nothing to compare"),
        (
            Hierarchical(between="other"),
            "fine",
            "the labels of 'other' are those of no grouping of 'fine'",
        ),
        (Hierarchical(between="single"), "fine", "takes one label a text, the other several"),
    ):
        with pytest.raises(EmomtlError, match=message):
            objective.check(of, tasks)


def test_a_grouping_over_every_label_alone_gives_the_plain_loss(view, loss_of):
    names = ("a", "b", "c", "d", "e")
    alone = Taxonomy(names, [Grouping("same", {name.upper(): (name,) for name in names})])
    given = view(SEVERAL)
    found = loss_of(
        Hierarchical(), View(given.pooled, HeadOutput(given.own.logits, given.own.targets, alone))
    )
    assert found == pytest.approx(
        float(MultiLabel().loss(given.own.logits.float(), given.own.targets.float())), rel=1e-6
    )

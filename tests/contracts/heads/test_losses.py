"""Losses for rare and for doubtful labels are what torch, their papers and a search by hand say."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from emomtl import EmomtlError, Head, MultiLabel, SingleLabel, Taxonomy
from emomtl.contracts.heads.label_facts import effective_number
from emomtl.manifest.options import options_of, read_options
from emomtl.testing import check_head
from emomtl.train.scale import scale_of_targets

RNG = np.random.default_rng(11)
FOUR = Taxonomy(["joy", "fear", "grief", "relief"])

SETS = (RNG.random((200, 4)) < [0.5, 0.2, 0.05, 0.02]).astype(np.float32)
SETS[:9, 1] = np.nan
SHARES = np.where(np.isnan(SETS), np.nan, 0.9 * SETS + 0.05).astype(np.float32)
ONE = RNG.choice(4, 200, p=[0.6, 0.25, 0.1, 0.05])
MIXED = RNG.dirichlet([3, 2, 1, 0.5], 200).astype(np.float32)
LOGITS = torch.from_numpy(RNG.normal(0, 2, (200, 4)).astype(np.float32))


def loss_of(head: Head, targets: np.ndarray, logits: Tensor = LOGITS) -> float:
    """The loss of a head that has seen these rows."""
    return float(head.fitted(targets, FOUR).loss(logits, torch.from_numpy(targets)))


def counts_of_sets() -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(SETS)
    return np.nansum(SETS, axis=0), known.sum(axis=0) - np.nansum(SETS, axis=0)


def mean_known(each: Tensor, targets: np.ndarray = SETS) -> float:
    known = torch.from_numpy(~np.isnan(targets))
    return float(each[known].mean())


@pytest.mark.parametrize("targets", [SETS, SHARES], ids=["sets", "shares"])
def test_a_balanced_pos_weight_is_that_of_torch(targets: np.ndarray) -> None:
    holds = np.nansum(targets, axis=0)
    lacks = (~np.isnan(targets)).sum(axis=0) - holds
    weight = torch.from_numpy((lacks / holds).astype(np.float32))
    wanted = torch.nan_to_num(torch.from_numpy(targets))
    each = functional.binary_cross_entropy_with_logits(
        LOGITS, wanted, pos_weight=weight, reduction="none"
    )
    assert loss_of(MultiLabel(pos_weight="balanced"), targets) == pytest.approx(
        mean_known(each, targets), rel=1e-5
    )


def test_given_pos_weights_count_by_name() -> None:
    weight = torch.tensor([1.0, 1.0, 7.5, 1.0])
    wanted = torch.nan_to_num(torch.from_numpy(SETS))
    each = functional.binary_cross_entropy_with_logits(
        LOGITS, wanted, pos_weight=weight, reduction="none"
    )
    assert loss_of(MultiLabel(pos_weight={"grief": 7.5}), SETS) == pytest.approx(
        mean_known(each), rel=1e-5
    )


def test_effective_numbers_lie_between_one_row_and_all_rows() -> None:
    # Cui et al. (2019, proposition 1), summed by hand: E_n = 1 + beta + ... + beta^(n - 1)
    rows = np.array([1, 5, 400])
    by_hand = [sum(0.99**power for power in range(n)) for n in rows]
    assert effective_number(rows, 0.99) == pytest.approx(by_hand)
    assert effective_number(rows, 0.0).tolist() == [1, 1, 1]
    assert effective_number(rows, 1 - 1e-9) == pytest.approx(rows, rel=1e-6)


def test_pos_weight_is_a_ratio_of_effective_numbers() -> None:
    holds, lacks = counts_of_sets()
    weight = [(1 - 0.9**n) / (1 - 0.9**p) for p, n in zip(holds, lacks, strict=True)]
    head = MultiLabel(pos_weight="effective-number", beta=0.9).fitted(SETS, FOUR)
    wanted = torch.nan_to_num(torch.from_numpy(SETS))
    each = functional.binary_cross_entropy_with_logits(
        LOGITS, wanted, pos_weight=torch.tensor(weight), reduction="none"
    )
    assert loss_of(head, SETS) == pytest.approx(mean_known(each), rel=1e-5)


def test_focal_loss_of_a_sigmoid_is_the_papers_number() -> None:
    # Lin et al. (2017, section 3.2): with gamma = 2, p_t = 0.9 costs 100 times less, and p_t of
    # about 0.968 1000 times
    for p, factor in ((0.9, 0.01), (0.968, 0.001)):
        logit = torch.tensor([[math.log(p / (1 - p))]])
        for target, sign in ((1.0, 1), (0.0, -1)):
            focal = MultiLabel(criterion="focal").loss(sign * logit, torch.tensor([[target]]))
            assert float(focal) == pytest.approx(factor * -math.log(p), rel=0.03)


def test_focal_loss_of_sets_is_the_formula_in_probabilities() -> None:
    p, y = torch.sigmoid(LOGITS.double()), torch.nan_to_num(torch.from_numpy(SETS)).double()
    p_t = torch.where(y == 1, p, 1 - p)
    each = -((1 - p_t) ** 1.5) * p_t.log()
    assert loss_of(MultiLabel(criterion="focal", gamma=1.5), SETS) == pytest.approx(
        mean_known(each), rel=1e-5
    )


def asymmetric(
    logits: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float
) -> Tensor:
    """ASL as its authors compute it in probabilities, element by element."""
    p = torch.sigmoid(logits.double())
    not_p = (1 - p + clip).clamp(max=1)
    entropy = y * p.clamp(min=1e-8).log() + (1 - y) * not_p.clamp(min=1e-8).log()
    p_t = p * y + not_p * (1 - y)
    return -entropy * (1 - p_t) ** (gamma_pos * y + gamma_neg * (1 - y))


@pytest.mark.parametrize(
    "options", [(4.0, 0.0, 0.05), (4.0, 1.0, 0.05), (2.0, 2.0, 0.0), (0.0, 0.0, 0.2)]
)
def test_asymmetric_loss_is_that_of_its_authors(options: tuple[float, float, float]) -> None:
    gamma_neg, gamma_pos, clip = options
    head = MultiLabel(criterion="asymmetric", gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    each = asymmetric(LOGITS, torch.nan_to_num(torch.from_numpy(SETS)), gamma_neg, gamma_pos, clip)
    assert loss_of(head, SETS) == pytest.approx(mean_known(each), rel=1e-5)


def test_asymmetric_loss_has_the_gradient_of_the_paper() -> None:
    # Ridnik et al. (2021): dL-/dz = p (1 - p) p_m^g (1 / (1 - p_m) - g ln(1 - p_m) / p_m), and 0
    # where p < m
    logits = torch.tensor([[-5.0, -1.0, 0.5, 3.0]], requires_grad=True)
    MultiLabel(criterion="asymmetric").loss(logits, torch.zeros(1, 4)).backward()
    p = torch.sigmoid(logits.detach().double())
    p_m = (p - 0.05).clamp(min=0)
    wanted = (
        p * (1 - p) * p_m**4 * (1 / (1 - p_m) - 4 * torch.log(1 - p_m) / p_m.clamp(min=1e-9)) / 4
    )
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0
    torch.testing.assert_close(logits.grad.double(), wanted, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_extreme_logits_have_finite_losses_and_gradients(gamma: float) -> None:
    for head in (
        MultiLabel(criterion="focal", gamma=gamma),
        MultiLabel(criterion="asymmetric", gamma_neg=gamma, gamma_pos=gamma),
        SingleLabel(criterion="focal", gamma=gamma),
    ):
        logits = torch.tensor([[200.0, -200.0, 0.0, 90.0]], requires_grad=True)
        targets = (
            torch.tensor([[1.0, 0, 1, 0]]) if isinstance(head, MultiLabel) else torch.tensor([0])
        )
        loss = head.loss(logits, targets)
        loss.backward()
        assert torch.isfinite(loss)
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


def test_smoothed_sets_are_moved_towards_a_half() -> None:
    wanted = torch.nan_to_num(torch.from_numpy(SETS)) * 0.8 + 0.1
    each = functional.binary_cross_entropy_with_logits(LOGITS, wanted, reduction="none")
    assert loss_of(MultiLabel(label_smoothing=0.2), SETS) == pytest.approx(
        mean_known(each), rel=1e-5
    )


def test_weights_and_smoothing_of_one_label_are_those_of_torch() -> None:
    counts = np.bincount(ONE, minlength=4)
    weight = torch.from_numpy(1 / counts).float()
    wanted = torch.from_numpy(ONE)
    for epsilon in (0.0, 0.1):
        theirs = functional.cross_entropy(LOGITS, wanted, weight=weight, label_smoothing=epsilon)
        ours = loss_of(SingleLabel(label_weight="balanced", label_smoothing=epsilon), ONE)
        assert ours == pytest.approx(float(theirs), rel=1e-5)
    theirs = functional.cross_entropy(LOGITS, wanted, label_smoothing=0.3)
    assert loss_of(SingleLabel(label_smoothing=0.3), ONE) == pytest.approx(float(theirs), rel=1e-5)


def test_balanced_label_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    head = SingleLabel(label_weight="balanced").fitted(ONE, FOUR)
    assert isinstance(head, SingleLabel)
    assert head._facts is not None
    assert head._facts.weights == pytest.approx(
        compute_class_weight("balanced", classes=np.arange(4), y=ONE)
    )


def test_only_the_ratios_of_given_label_weights_count() -> None:
    once = loss_of(
        SingleLabel(label_weight={"joy": 1.0, "fear": 2.0, "grief": 4.0, "relief": 8.0}), ONE
    )
    tenfold = loss_of(
        SingleLabel(label_weight={"joy": 10.0, "fear": 20.0, "grief": 40.0, "relief": 80.0}), ONE
    )
    theirs = functional.cross_entropy(
        LOGITS, torch.from_numpy(ONE), weight=torch.tensor([1.0, 2, 4, 8])
    )
    assert once == pytest.approx(float(theirs), rel=1e-5)
    assert tenfold == pytest.approx(once, rel=1e-6)


def test_effective_number_weights_are_in_the_ratios_of_the_paper() -> None:
    head = SingleLabel(label_weight="effective-number", beta=0.99).fitted(ONE, FOUR)
    assert isinstance(head, SingleLabel)
    assert head._facts is not None
    weights = head._facts.weights
    assert weights is not None
    paper = 0.01 / (1 - 0.99 ** np.bincount(ONE, minlength=4))
    assert weights / weights[0] == pytest.approx(paper / paper[0])


def test_weighted_distributions_are_those_of_torch() -> None:
    weight = torch.tensor([1.0, 1.0, 5.0, 1.0])
    theirs = functional.cross_entropy(
        LOGITS, torch.from_numpy(MIXED), weight=weight, reduction="sum"
    )
    mean_weight = float((torch.from_numpy(MIXED) * weight).sum()) / len(MIXED)
    ours = loss_of(SingleLabel(soft=True, label_weight={"grief": 5.0}), MIXED)
    assert ours == pytest.approx(float(theirs) / len(MIXED) / mean_weight, rel=1e-5)


def test_focal_loss_of_a_softmax_is_the_formula() -> None:
    q = torch.softmax(LOGITS.double(), dim=1)[torch.arange(len(ONE)), torch.from_numpy(ONE)]
    theirs = float((-((1 - q) ** 2) * q.log()).mean())
    assert loss_of(SingleLabel(criterion="focal"), ONE) == pytest.approx(theirs, rel=1e-5)


def test_logit_adjustment_applies_in_training_alone() -> None:
    prior = torch.from_numpy(np.bincount(ONE, minlength=4) / len(ONE)).float()
    theirs = functional.cross_entropy(LOGITS + 1.5 * prior.log(), torch.from_numpy(ONE))
    head = SingleLabel(logit_adjustment=1.5)
    assert loss_of(head, ONE) == pytest.approx(float(theirs), rel=1e-5)
    plain = SingleLabel().probabilities(LOGITS.numpy())
    assert np.array_equal(head.fitted(ONE, FOUR).probabilities(LOGITS.numpy()), plain)


def test_binary_logit_adjustment_is_that_of_two_labels() -> None:
    has = SETS[9:, [2]]
    logits = LOGITS[9:, [2]]
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    prior = torch.from_numpy(np.array([1 - has.mean(), has.mean()])).float()
    theirs = functional.cross_entropy(two + 0.7 * prior.log(), torch.from_numpy(has[:, 0]).long())
    only = Taxonomy(["grief", "other"])
    pair = np.concatenate([has, np.full_like(has, np.nan)], axis=1)
    head = MultiLabel(logit_adjustment=0.7).fitted(pair, only)
    ours = head.loss(torch.cat([logits, logits], dim=1), torch.from_numpy(pair))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_a_balanced_loss_is_lowest_where_both_answers_are_even() -> None:
    # pos_weight = lacks / holds: the best constant has p = 1/2 and costs 2 (1 - pi) ln 2
    base = (
        MultiLabel(pos_weight="balanced")
        .fitted(SETS[:, [0, 2]], Taxonomy(["joy", "grief"]))
        .base_rate(SETS[:, [0, 2]])
    )
    assert base is not None
    wanted = np.mean([2 * (1 - SETS[:, i].mean()) * math.log(2) for i in (0, 2)])
    assert base.loss == pytest.approx(wanted, rel=1e-6)
    even = SingleLabel(label_weight="balanced").fitted(ONE, FOUR).base_rate(ONE)
    assert even is not None
    assert even.loss == pytest.approx(math.log(4))


HEADS: list[tuple[Head, np.ndarray]] = [
    (MultiLabel(), SETS),
    (MultiLabel(pos_weight="balanced"), SETS),
    (MultiLabel(pos_weight="effective-number", beta=0.99), SHARES),
    (MultiLabel(pos_weight={"relief": 20.0}, label_smoothing=0.1), SETS),
    (MultiLabel(criterion="focal"), SETS),
    (MultiLabel(criterion="focal", gamma=0.5, pos_weight="balanced"), SHARES),
    (MultiLabel(criterion="asymmetric"), SETS),
    (MultiLabel(criterion="asymmetric", gamma_pos=1.0, clip=0.0), SHARES),
    (MultiLabel(label_smoothing=0.2), SETS),
    (MultiLabel(logit_adjustment=1.0), SETS),
    (SingleLabel(), ONE),
    (SingleLabel(label_weight="balanced"), ONE),
    (SingleLabel(label_weight="effective-number"), ONE),
    (SingleLabel(label_weight={"grief": 3.0}, label_smoothing=0.1), ONE),
    (SingleLabel(criterion="focal"), ONE),
    (SingleLabel(criterion="focal", gamma=0.5, label_weight="balanced"), ONE),
    (SingleLabel(label_smoothing=0.2), ONE),
    (SingleLabel(logit_adjustment=1.0), ONE),
    (SingleLabel(soft=True, label_weight="balanced", label_smoothing=0.1), MIXED),
    (SingleLabel(soft=True, logit_adjustment=0.5), MIXED),
]
NAMES = [
    str({k: v for k, v in options_of(head).items() if k not in ("dropout", "threshold")})
    for head, _ in HEADS
]


@pytest.mark.parametrize(("head", "targets"), HEADS, ids=NAMES)
def test_no_constant_answer_is_cheaper_than_the_base_rate(head: Head, targets: np.ndarray) -> None:
    head = head.fitted(targets, FOUR)
    base, wanted = head.base_rate(targets), torch.from_numpy(targets)

    def cost(logits: Any) -> tuple[float, np.ndarray]:
        constant = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
        loss = head.loss(constant.expand(len(targets), 4), wanted)
        loss.backward()
        assert constant.grad is not None
        return float(loss.detach()), constant.grad.numpy().astype(np.float64)

    found = min(
        float(minimize(cost, start, jac=True, method="BFGS").fun)
        for start in (np.zeros(4), np.full(4, -2.0))
    )
    assert base is not None
    assert base.loss == pytest.approx(found, rel=2e-4)
    # so that answer has a scaled loss of 1 under "base-rate", and of the plain entropy under "nats"
    assert found * scale_of_targets("base-rate", head, targets).factor(1.0) == pytest.approx(
        1.0, rel=2e-4
    )


@pytest.mark.parametrize(("head", "targets"), HEADS, ids=NAMES)
def test_reweighting_keeps_the_place_of_a_task_in_nats(head: Head, targets: np.ndarray) -> None:
    plain: Head = (
        MultiLabel() if isinstance(head, MultiLabel) else SingleLabel(soft=targets.ndim == 2)
    )
    if getattr(head, "label_smoothing", 0.0):
        return  # a cross-entropy against other targets: its nats are its own
    before = scale_of_targets("nats", plain, targets).base_loss
    assert scale_of_targets("nats", head.fitted(targets, FOUR), targets).base_loss == pytest.approx(
        before, rel=1e-6
    )


@pytest.mark.parametrize(("head", "targets"), HEADS, ids=NAMES)
def test_every_loss_keeps_the_contract_of_heads(head: Head, targets: np.ndarray) -> None:
    labels: Any = None
    if isinstance(head, SingleLabel) and head.soft:
        labels = [{"joy": 0.5, "fear": 0.5}, {"grief": 0.25, "relief": 0.75}, "joy", "fear"]
    check_head(head, FOUR, labels)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        (
            MultiLabel,
            {"criterion": "asymmetric", "gamma": 2.0},
            r'`gamma` belongs to criterion = "focal"',
        ),
        (
            MultiLabel,
            {"criterion": "focal", "gamma_neg": 4.0},
            r'`gamma_neg` belongs to criterion = "asymmetric"',
        ),
        (MultiLabel, {"gamma": 2.0}, r'and the criterion is "cross-entropy"'),
        (
            MultiLabel,
            {"criterion": "asymmetric", "pos_weight": "balanced"},
            "together they do it twice",
        ),
        (
            MultiLabel,
            {"logit_adjustment": 1.0, "pos_weight": "balanced"},
            "together they do it twice",
        ),
        (
            MultiLabel,
            {"criterion": "focal", "label_smoothing": 0.1},
            "one counts sure answers less",
        ),
        (
            MultiLabel,
            {"pos_weight": "balanced", "beta": 0.9},
            '`beta` belongs to pos_weight = "effective-number"',
        ),
        (MultiLabel, {"pos_weight": {"joy": 0.0}}, "a number greater than 0"),
        (SingleLabel, {"criterion": "asymmetric"}, "cross-entropy"),
        (SingleLabel, {"criterion": "focal", "soft": True}, "defined for rows with one label"),
        (
            SingleLabel,
            {"criterion": "focal", "logit_adjustment": 1.0},
            "derived for a cross-entropy",
        ),
        (SingleLabel, {"pos_weight": "balanced"}, "pos_weight"),
    ],
)
def test_options_that_contradict_each_other_are_one_clear_problem(
    kind: Any, options: dict[str, Any], told: str
) -> None:
    head, problems = read_options(kind, options, "tasks.mood.head")
    assert head is None
    assert len(problems) == 1
    assert problems[0].place.startswith("tasks.mood.head")
    assert re.search(told, str(problems[0]))


def test_the_numbers_of_a_criterion_are_written_out() -> None:
    asked = options_of(MultiLabel(criterion="asymmetric"))
    assert (asked["gamma_pos"], asked["gamma_neg"], asked["clip"]) == (0.0, 4.0, 0.05)
    assert options_of(SingleLabel(criterion="focal"))["gamma"] == 2.0
    again, problems = read_options(MultiLabel, asked, "head")
    assert problems == []
    assert again == MultiLabel(criterion="asymmetric")


def test_a_weight_of_a_label_that_is_none_is_refused() -> None:
    for head in (MultiLabel(pos_weight={"grieff": 2.0}), SingleLabel(label_weight={"grieff": 2.0})):
        with pytest.raises(EmomtlError, match=r"weighs 'grieff', which is no label.*grief"):
            head.check(FOUR)


def test_labels_that_no_row_has_weigh_like_others() -> None:
    rows = SETS[9:].copy()
    rows[:, 3] = 0
    head = MultiLabel(pos_weight="balanced").fitted(rows, FOUR)
    assert isinstance(head, MultiLabel)
    assert head._facts is not None
    assert head._facts.weights is not None
    assert head._facts.weights[3] == 1.0
    one = SingleLabel(label_weight="balanced").fitted(ONE[ONE < 3], FOUR)
    assert np.isfinite(float(one.loss(LOGITS, torch.from_numpy(ONE))))


def test_a_loss_that_needs_rows_must_be_fitted() -> None:
    with pytest.raises(EmomtlError, match="needs the training rows"):
        MultiLabel(pos_weight="balanced").loss(LOGITS, torch.from_numpy(SETS))
    with pytest.raises(EmomtlError, match="needs the training rows"):
        SingleLabel(label_weight="balanced").base_rate(ONE)


def test_a_head_with_its_own_loss_takes_no_options() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Own(SingleLabel):
        def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
            return logits.sum()

    @dataclass(frozen=True)
    class Named(Own):
        gamma: float | None = 3.0
        label_smoothing: float = 0.2

    assert Own().fitted(ONE, FOUR) == Own()
    assert (Named().gamma, Named(label_smoothing=0.3).label_smoothing) == (3.0, 0.3)
    with pytest.raises(EmomtlError, match="has a loss of its own"):
        Own(label_weight="balanced")

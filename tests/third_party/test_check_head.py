"""`check_head` passes what is right, and says everything that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from emomtl import Grouping, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.testing import check_head

MOODS = Taxonomy(
    ["glad", "calm", "sad"],
    [Grouping("tone", {"pleasant": ("glad", "calm"), "unpleasant": ("sad",)})],
)


@pytest.mark.parametrize("head", [SingleLabel(), MultiLabel(), MultiLabel(threshold=0.3)])
def test_heads_with_labels_pass(head: Any, complaint: Any) -> None:
    assert complaint(check_head, head, MOODS) == ""


def test_a_head_of_numbers_passes_and_labels_can_be_given(complaint: Any) -> None:
    assert complaint(check_head, Regression(("valence", "arousal"), low=1.0, high=5.0), None) == ""
    assert complaint(check_head, Regression(low=0.0), None) == ""
    labels = [["glad", "calm"], {"sad": 0.7, "glad": None}, "sad"]
    assert complaint(check_head, MultiLabel(), MOODS, labels) == ""


def test_metrics_of_decisions_must_be_those_of_the_same_answers(complaint: Any) -> None:
    made: Any = type(
        "Made",
        (MultiLabel,),
        {"decision_metrics": lambda self, targets, decisions: {"macro_f1": 0.125}},
    )
    said = complaint(check_head, made(), MOODS)
    assert "decision_metrics() gives macro_f1 = 0.125, metrics() of the same decisions" in said
    other: Any = type(
        "Other", (MultiLabel,), {"metrics": lambda self, targets, probabilities: {"macro_f1": None}}
    )
    assert complaint(check_head, other(), MOODS) == ""


def _head(**methods: Any) -> Any:
    made: Any = type("Made", (SingleLabel,), {"__annotations__": {}, **methods})
    return dataclass(frozen=True)(made)()


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"skill": lambda self, metrics: -(metrics["macro_f1"] or 0.0)}, "more must be better"),
        ({"skill": lambda self, metrics: None}, "skill() is None for"),
        ({"kind": ""}, 'has no `kind` (write kind: ClassVar[str] = "..." into the class)'),
        (
            {"main_metric": "top5_accuracy"},
            "metrics() on all rows lacks the main metric 'top5_accuracy'",
        ),
        (
            {"outputs": lambda self, taxonomy: ("glad", "glad")},
            "has the outputs ('glad', 'glad') (name each once)",
        ),
        ({"encode": lambda self, label, taxonomy: 1}, "3 label(s) give the same target"),
        (
            {"encode": lambda self, label, taxonomy: 1 / 0},
            "encoding labels raised ZeroDivisionError",
        ),
        (
            {"encode": lambda self, label, taxonomy: [0, 1] if label else -100},
            "targets of different shapes or types",
        ),
        (
            {"present": lambda self, targets: targets > 0},
            "present() says [False, True, True, False]",
        ),
        (
            {"build": lambda self, width, taxonomy: nn.Linear(width, 2)},
            "build() gives logits of shape (4, 2) ((B, L) = (4, 3))",
        ),
        ({"loss": lambda self, logits, targets: logits.mean(axis=1)}, "its loss: is tensor("),
        ({"loss": lambda self, logits, targets: logits.sum() * float("nan")}, "a finite scalar"),
        (
            {"loss": lambda self, logits, targets: logits.pow(2).mean()},
            "a row without target changes the loss from",
        ),
        (
            {"loss": lambda self, logits, targets: logits.pow(2).mean()},
            "without any known target the loss is",
        ),
        (
            {"loss": lambda self, logits, targets: logits.sum() * 0},
            "the loss gives the head's parameters no finite gradient",
        ),
        (
            {"known": lambda self, targets: targets > 0},
            "known() says [False, True, True, False] where present() says",
        ),
        (
            {"known": lambda self, targets: (targets != -100) * (1 + targets)},
            "by which two parts' losses make",
        ),
        (
            {"probabilities": lambda self, logits: logits[:, 0]},
            "probabilities() gives (4,) (finite numbers of shape (4, 3))",
        ),
        (
            {"probabilities": lambda self, logits: np.full(logits.shape, np.nan)},
            "finite numbers of shape",
        ),
        (
            {"decode": lambda self, p, names: [[("merry", 1.0)] for _ in p]},
            "decode() must give one list of (output, number) a row",
        ),
        (
            {"decode": lambda self, p, names: []},
            "decode() must give one list of (output, number) a row",
        ),
        (
            {"metrics": lambda self, t, p: {"macro_f1": None, "accuracy": 0.5}},
            "metrics() on all rows has 'accuracy' (a full name",
        ),
        (
            {"metrics": lambda self, t, p: {"macro_f1": float("nan")}},
            "metrics() on all rows gives macro_f1 = nan",
        ),
        (
            {"metrics": lambda self, t, p: {"macro_f1": 0.0}},
            "metrics() on no known row gives macro_f1 = 0.0 (None",
        ),
        ({"table": lambda self, t, p, names: []}, "table() on all rows for tone has rows for []"),
        (
            {"table": lambda self, t, p, names: [{"name": n} for n in names]},
            "has rows for [None, None, None]",
        ),
        (
            {"fold": lambda self, t, p, grouping, taxonomy: 1 / 0},
            "its metrics raised ZeroDivisionError",
        ),
    ],
)
def test_a_broken_head_is_found(methods: dict[str, Any], message: str, found: Any) -> None:
    assert message in found(check_head, _head(**methods), MOODS)


def test_a_head_without_groupings_is_found_where_the_taxonomy_has_some(
    found: Any, complaint: Any
) -> None:
    def refuse(self: Any, *rest: Any) -> None:
        raise TypeError("a made head has no groupings")

    assert "a made head has no groupings" in found(check_head, _head(fold=refuse), MOODS)
    assert complaint(check_head, _head(fold=refuse), Taxonomy(["glad", "sad"])) == ""


def test_a_head_that_does_not_fit_the_taxonomy_is_found(found: Any) -> None:
    assert "check() with the taxonomy: a regression head takes no taxonomy" in found(
        check_head, Regression(), MOODS
    )


def test_a_head_without_the_options_that_every_head_has_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Rigid(SingleLabel):
        kind: ClassVar[str] = "rigid"

        def __getattribute__(self, name: str) -> Any:
            if name == "dropout":
                raise AttributeError(name)
            return super().__getattribute__(name)

    assert "has no option `dropout`" in found(check_head, Rigid(), MOODS)


def test_a_head_with_wrong_counts_is_found(found: Any, complaint: Any) -> None:
    def rows(self: Any, targets: Any) -> Any:
        return self.present(targets).astype(int)

    made: Any = dataclass(frozen=True)(
        type("Made", (MultiLabel,), {"__annotations__": {}, "known": rows})
    )
    said = found(check_head, made(), MOODS)
    assert "let known() give, for each row, what the mean of loss() is over" in said


def test_a_head_whose_rows_count_by_a_weight_passes(complaint: Any) -> None:
    weights = np.array([1.0, 2.0, 0.5])

    def known(self: Any, targets: Any) -> Any:
        return np.where(targets == -100, 0.0, weights[targets.clip(0)])

    def loss(self: Any, logits: Any, targets: Any) -> Any:
        given = torch.tensor(weights, dtype=torch.float32)
        total = functional.cross_entropy(
            logits, targets, weight=given, ignore_index=-100, reduction="sum"
        )
        return total / (given[targets.clamp(min=0)] * (targets != -100)).sum().clamp(min=1e-9)

    assert complaint(check_head, _head(known=known, loss=loss), MOODS) == ""

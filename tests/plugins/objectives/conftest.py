"""Small views with labels of both kinds, in double precision, for the tests of objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emomtl import Grouping, HeadOutput, Label, Objective, Taxonomy, View

LABELS = Taxonomy(
    [
        Label("joy", vad=(0.98, 0.82, 0.79)),
        Label("love", vad=(1.0, 0.52, 0.67)),
        Label("fear", vad=(0.07, 0.84, 0.29)),
        Label("anger", vad=(0.17, 0.87, 0.66)),
        Label("surprise", vad=(0.88, 0.88, 0.56)),
    ],
    [
        Grouping(
            "tone",
            {"pleasant": ("joy", "love"), "unpleasant": ("fear", "anger"), "open": ("surprise",)},
        ),
        Grouping("force", {"strong": ("joy", "anger", "surprise"), "weak": ("love", "fear")}),
    ],
)


@pytest.fixture(scope="session")
def labels() -> Taxonomy:
    """Five labels with points, in two groupings."""
    return LABELS


@pytest.fixture(scope="session")
def view() -> Callable[..., View]:
    """A maker of views: targets are numbers of labels (one a text) or lists of numbers (several a
    text); None is unknown.
    """

    def make(targets: Sequence[Any], seed: int = 0, width: int = 3, **others: HeadOutput) -> View:
        draw = np.random.default_rng(seed)
        pooled = torch.tensor(draw.normal(size=(len(targets), width)))
        logits = torch.tensor(2 * draw.normal(size=(len(targets), len(LABELS))))
        return View(pooled, HeadOutput(logits, encoded(targets), LABELS), others)

    return make


def encoded(targets: Sequence[Any]) -> torch.Tensor:
    """Targets as the heads encode them: int64 (B,), or float64 (B, L)."""
    if not any(isinstance(one, list) for one in targets):
        return torch.tensor([-100 if one is None else one for one in targets])
    rows = np.zeros((len(targets), len(LABELS)))
    for row, one in zip(rows, targets, strict=True):
        row[:] = np.nan if one is None else 0
        row[one or []] = 1
    return torch.tensor(rows)


@pytest.fixture(scope="session")
def loss_of() -> Callable[..., float]:
    """The loss of an objective without learned parts, as a number."""

    def number(objective: Objective, view: View) -> float:
        return float(objective.loss(objective.build(view.pooled.shape[1], LABELS), view))

    return number


@pytest.fixture(scope="session")
def assert_gradients() -> Callable[..., None]:
    """A check that gradients by autograd are those by finite differences, at the vectors, in double
    precision.
    """

    def check(objective: Objective, view: View) -> None:
        def loss(pooled: torch.Tensor) -> torch.Tensor:
            return objective.loss(nn.Identity(), View(pooled, view.own))

        assert torch.autograd.gradcheck(loss, [view.pooled.clone().requires_grad_()])

    return check

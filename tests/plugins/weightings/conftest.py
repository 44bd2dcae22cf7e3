"""Losses of three tasks for the tests of weightings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

VALUES = {"goemotions": 0.7, "sst-2": 1.5, "emobank": 0.2}


@pytest.fixture
def losses() -> Callable[..., dict[str, Tensor]]:
    """A maker of scalar losses that want a gradient; what it is given replaces values, and None
    leaves a task out.
    """

    def make(values: dict[str, float | None] | None = None) -> dict[str, Tensor]:
        chosen = VALUES | (values or {})
        return {
            task: torch.tensor(value, requires_grad=True)
            for task, value in chosen.items()
            if value is not None
        }

    return make

"""How token vectors become one: padding never counts, and each choice is what its name says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from emomtl.model.network import MultiTaskModel

STATES = torch.tensor(
    [[[1.0, -2.0], [3.0, -4.0], [99.0, 99.0]], [[5.0, 6.0], [-7.0, 8.0], [0.0, 1.0]]]
)
INPUTS = {"input_ids": torch.zeros(2, 3), "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}
WANTED = {
    "cls": [[1.0, -2.0], [5.0, 6.0]],
    "mean": [[2.0, -3.0], [-2 / 3, 5.0]],
    "max": [[3.0, -2.0], [5.0, 8.0]],
    "pooler": [[0.5, 0.5], [0.25, 0.25]],
}


class Fixed(nn.Module):
    """An encoder with a known answer."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(
            last_hidden_state=STATES, pooler_output=torch.tensor(WANTED["pooler"])
        )


@pytest.mark.parametrize("pooling", WANTED)
def test_pooling_is_over_real_tokens(pooling: str) -> None:
    found = MultiTaskModel(Fixed(), pooling, {}).encode(INPUTS)
    torch.testing.assert_close(found, torch.tensor(WANTED[pooling]))


@pytest.mark.parametrize("pooling", WANTED)
def test_a_maximum_in_half_precision_stays_finite(pooling: str) -> None:
    model = MultiTaskModel(Fixed(), pooling, {})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(model.encode(INPUTS)).all()

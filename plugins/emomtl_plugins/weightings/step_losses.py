"""The losses from which a weighting works out the weights of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from emomtl import Moment

FLOOR = 1e-8
"""What a loss is at least before it is divided by, or its logarithm taken."""


def step_losses(losses: Mapping[str, Tensor], moment: Moment) -> dict[str, Tensor]:
    """The step's losses by task, scalar, float32, without gradient and at least FLOOR: `moment.ahead` where a step is cut."""
    return {task: loss.detach().float().clamp(min=FLOOR) for task, loss in (moment.ahead or losses).items()}

"""What one step of training leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from emomtl.contracts.sampler import Moment
    from emomtl.model.device import Later
    from emomtl.train.draw import Drawing


@dataclass
class Step:
    """What one step leaves for the log, still on the device; `finite` says whether it was an update.

    `losses` are scaled and times the tasks' weights, as the weighting saw them; `raw` are the heads' mean
    losses. `norms` are those of the tasks' gradients on the encoder, in a step that is logged.
    """

    moment: Moment
    drawing: Drawing
    weights: dict[str, Tensor]
    norm: Tensor
    finite: Later
    losses: dict[str, Tensor]
    factor: float
    raw: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)

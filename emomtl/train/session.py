"""A run in memory, as `start` and `resume` make it and the loop trains it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.metrics.selection import EMA
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.train.display import Phases
from emomtl.train.state import LossWindow

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from emomtl.compose import Plan
    from emomtl.contracts.sampler import Moment
    from emomtl.data.corpus import TaskData
    from emomtl.data.tokens import Tokens
    from emomtl.inference.evaluator import Evaluator
    from emomtl.inference.feature_vectors import FittedFeatures
    from emomtl.model.averaging import Average
    from emomtl.model.device import Later
    from emomtl.model.network import MultiTaskModel
    from emomtl.run import Run
    from emomtl.train.display import Reporter
    from emomtl.train.draw import Drawing, Feeder
    from emomtl.train.gradients import TaskGradients
    from emomtl.train.length import Length
    from emomtl.train.losses import TaskLosses
    from emomtl.train.reduction import Reduction
    from emomtl.train.state import State


@dataclass
class Step:
    """What one step leaves for the log, still on the device.

    `rate` is the learning rate as a part of its peak, `norm` that of the gradient before clipping.
    `finite` says whether the weights were updated. The others are those of `Losses`.
    """

    moment: Moment
    drawing: Drawing
    rate: float
    norm: Tensor
    finite: Later
    losses: dict[str, Tensor] = field(default_factory=dict)
    raw: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    encoder_norms: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Session:
    """A run in memory.

    A checkpoint holds `model`, `optimizer`, `weighting` (the state of the weighting method),
    `average` and `state`. `feeder` draws the rows of a step, `losses` computes its losses, and
    `evaluator` scores. `unsettled` are steps of which the host does not know yet whether they were
    finite.

    `resumed_elsewhere` are facts such as versions that are not those of the run's start.
    `amended_environment` is to be written with the next checkpoint: what was changed on resuming
    holds from there on.
    """

    plan: Plan
    run: Run
    data: TaskData
    tokens: dict[tuple[str, str], Tokens]
    model: MultiTaskModel
    optimizer: torch.optim.AdamW
    weighting: nn.Module
    losses: TaskLosses
    evaluator: Evaluator
    feeder: Feeder
    length: Length
    state: State
    reporter: Reporter
    features: FittedFeatures
    average: Average | None = None
    ranks: Ranks = ALONE
    reduction: Reduction | None = None
    task_gradients: TaskGradients | None = None
    window: LossWindow = field(default_factory=LossWindow)
    unsettled: deque[Step] = field(default_factory=deque)
    phases: Phases = field(default_factory=Phases)
    resumed_elsewhere: dict[str, list[Any]] = field(default_factory=dict)
    amended_environment: dict[str, Any] | None = None

    def labels(self) -> dict[str, list[str]]:
        """The labels that each task's head answers with, in the order of its logits."""
        taxonomies = self.data.taxonomies
        return {
            name: list(bound.head.outputs(taxonomies[name]))
            for name, bound in self.plan.tasks.items()
        }

    def checkpoint_tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of a checkpoint by part; the optimiser's are named `slot:parameter`."""
        optimizer: dict[str, Tensor] = {}
        for group in self.optimizer.param_groups:
            for name, parameter in zip(group["names"], group["params"], strict=True):
                for slot, value in self.optimizer.state.get(parameter, {}).items():
                    optimizer[f"{slot}:{name}"] = value
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer,
            "weighting": self.weighting.state_dict(),
        }
        if self.average is not None:
            parts[EMA] = self.average.tensors()
        return parts

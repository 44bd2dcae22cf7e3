"""What a weighting is: from the losses of a step to gradients, with the weights that it used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl.sampling import Moment


@dataclass(frozen=True)
class TaskFacts:
    """What a weighting may know of a task before training: training rows, outputs of its head, and the head's kind."""

    size: int
    outputs: int
    kind: str


class Weighting(ABC):
    """How the losses of tasks become one gradient; a dataclass whose fields are the options of `[weighting]`.

    A loss reaches it as the mean over the task's examples of the micro-batch, times the task's `weight` (lambda_t).
    """

    joint: ClassVar[bool] = False
    """True where the method needs the losses of all tasks in one step (`sampler.per_step = "all"`)."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run."""

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The state of the method: its parameters join the optimiser, its state_dict goes into every checkpoint."""
        from torch import nn

        return nn.Module()

    @abstractmethod
    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss to minimise (a scalar) and the weight of each task in it; `losses` may lack tasks without examples."""

    def backward(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Mapping[str, Tensor]:
        """Fill `.grad` from the losses of one micro-batch, of which a step has one or several, and return the weights.

        Methods that work on gradients override this; the others only say how losses combine. With accumulation it is
        called once a micro-batch, and the total is scaled by `moment.share`, so the step's gradient is the mean.
        """
        total, weights = self.combine(state, losses, moment)
        (total * moment.share).backward()  # type: ignore[no-untyped-call]
        return weights

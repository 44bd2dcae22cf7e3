"""What a weighting is: from the losses of a step to gradients, with the weights that it used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl.contracts.sampler import Moment

LARGE = 1000.0
"""A weight above this is warned of: its task drowns every other, and what learned it has most likely lost its hold."""


@dataclass(frozen=True)
class TaskFacts:
    """What a weighting may know of a task before training: training rows, outputs of its head, and the head's kind.

    `base_loss` is the loss that the best constant answer would have on the training rows, as the weighting sees losses
    (scaled, and times the task's `weight`); 1 where the head does not say.
    """

    size: int
    outputs: int
    kind: str
    base_loss: float = 1.0


class SharedParameters(tuple["nn.Parameter", ...]):
    """The trainable parameters that all tasks share, in the model's order; `last` are those of the encoder's last layer."""

    last: tuple[nn.Parameter, ...]

    def __new__(cls, parameters: Iterable[nn.Parameter], last: Iterable[nn.Parameter] | None = None) -> SharedParameters:
        """`last` is taken to be everything where it is not given."""
        made = super().__new__(cls, parameters)
        made.last = tuple(made if last is None else last)
        return made


class Weighting(ABC):
    """How the losses of tasks become one gradient; a dataclass whose fields are the options of `[weighting]`.

    A loss reaches it on the scale of `train.loss_scale`, times the task's `weight` (lambda_t). The losses
    of the micro-batches, each times its share, sum to that of the whole step. A task without a known target
    in the step has no loss at all, and none of 0. A step is `backward` once a micro-batch, then `finish`,
    then the update, then `look` for a method that wants to know what it did.
    """

    joint: ClassVar[bool] = False
    """True where the method needs the losses of all tasks in one step (`sampler.per_step = "all"`). It may still miss a
    task's: no row of a step may have a label of it."""

    looks_ahead: ClassVar[bool] = False
    """True where a weight depends on the losses of the step itself: with accumulation, `moment.ahead` then has those of the
    whole step, at the cost of one more forward pass, so that weights do not depend on how the step is cut."""

    looks_again: ClassVar[bool] = False
    """True where `look` is to be called with the losses on the same texts after the update; costs one more forward pass."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def sums_losses(self) -> bool:
        """Whether the gradient of a step is that of the loss which `combine` gives: `backward` is not overridden."""
        return type(self).backward is Weighting.backward

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run."""

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The state of the method: its parameters join the optimiser, its state_dict goes into every checkpoint.

        In a run `shared` is a `SharedParameters`, which knows those of the last layer.
        """
        from torch import nn

        return nn.Module()

    @abstractmethod
    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss to minimise (a scalar) and the weight of each task in it; `losses` lack tasks without labels in the step."""

    def backward(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> Mapping[str, Tensor]:
        """Fill `.grad` from the losses of one micro-batch, of which a step has one or several, and return the weights.

        Methods that work on gradients override this and `finish`; the others only say how losses combine. With accumulation
        it is called once a micro-batch, and the total is scaled by `moment.share`, so the step's gradient is the mean.
        """
        total, weights = self.combine(state, losses, moment)
        (total * moment.share).backward()  # type: ignore[no-untyped-call]
        return weights

    def finish(self, state: nn.Module, moment: Moment) -> Mapping[str, Tensor] | None:
        """Called once a step, after the last micro-batch and before clipping; may change `.grad`, and return the weights used.

        torch's generator is seeded from the run's seed and the step: what is drawn here does not depend on how the step is
        cut. Where the step's gradients are not finite, let them pass as they are: the loop then makes no update.
        """

    def forget(self, state: nn.Module) -> None:
        """Called where a step begins anew, as it did not fit into memory: drop what `backward` has gathered of it.

        Only a method whose `backward` gathers something beside `.grad`, which the loop clears, has anything to do here.
        """

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        """Tensors in which gradients of the step stand beside `.grad` until `finish`.

        Where several processes train together, each has a part of every gradient: before `finish` these tensors are averaged over
        the processes as every `.grad` is, in place. Losses are of all texts in every process, and so is what follows from them.
        """
        return ()

    def look(self, state: nn.Module, before: Mapping[str, Tensor], after: Mapping[str, Tensor], moment: Moment) -> None:
        """Called after the update where `looks_again`: the step's losses before it and after it, on the same texts and dropout.

        Where the step was not finite, no update was made and either may be NaN: the state must not take that in.
        """

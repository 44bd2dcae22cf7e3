"""What a weighting is: from the losses of a step to gradients, with the weights that it used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl.contracts.sampler import Moment

LARGE = 1000.0
"""A run warns of weights above this: one task then drives out all others, and a weight that is
learned has most likely diverged."""


@dataclass(frozen=True)
class TaskFacts:
    """What a weighting may know of a task before training.

    `size` are its training rows, `outputs` those of its head, and `answers` what the head answers a
    text with. `base_loss` is the loss of the best constant answer on the training rows, as the
    weighting sees losses (scaled, and times the task's `weight`); 1 where the head does not say.
    """

    size: int
    outputs: int
    answers: Literal["labels", "numbers", "nothing"]
    base_loss: float = 1.0


class SharedParameters(tuple["nn.Parameter", ...]):
    """The trainable parameters that all tasks share, in the model's order.

    `last` are those of the encoder's last layer; all of them where it is not given.
    """

    last: tuple[nn.Parameter, ...]

    def __new__(
        cls, parameters: Iterable[nn.Parameter], last: Iterable[nn.Parameter] | None = None
    ) -> SharedParameters:
        shared = super().__new__(cls, parameters)
        shared.last = tuple(shared if last is None else last)
        return shared


class Weighting(ABC):
    """How the losses of tasks become one gradient; a dataclass, its fields are options.

    They stand in `[weighting]`. A weighting sees losses on the scale of `train.loss_scale`, times
    the task's `weight` (lambda_t). The losses of the micro-batches, each times its share, sum to
    that of the whole step. A task without a known target in the step has no loss at all, and none
    of 0. A step is `backward` once a micro-batch, then `finish`, then the update, then `look` for a
    method that wants to know what the update did.
    """

    joint: ClassVar[bool] = False
    """True where the method needs the losses of all tasks in one step (`sampler.per_step = "all"`).
    It may still miss a task's loss: no row of a step may have a label of it."""

    looks_ahead: ClassVar[bool] = False
    """True where a weight depends on the losses of the step itself. With accumulation,
    `moment.ahead` then has those of the whole step, for one more forward pass, so that weights do
    not depend on how the step is cut."""

    looks_again: ClassVar[bool] = False
    """True where `look` is called with the losses after the update, for one more forward pass."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def sums_losses(self) -> bool:
        """Whether a step's gradient is that of the loss which `combine` gives."""
        return type(self).backward is Weighting.backward

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run."""

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The state of the method.

        Its parameters join the optimiser, and its state_dict goes into every checkpoint. In a run
        `shared` is a `SharedParameters`, which knows those of the last layer.
        """
        from torch import nn

        return nn.Module()

    @abstractmethod
    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss to minimise (a scalar) and the weight of each task in it.

        `losses` are those of the tasks with labels in the step.
        """

    def backward(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> Mapping[str, Tensor]:
        """Fill `.grad` from the losses of one micro-batch, and return the weights.

        Methods that work on gradients override this and `finish`; the others only say how losses
        combine. The total is scaled by `moment.share`, so the step's gradient is the mean over its
        micro-batches.
        """
        total, weights = self.combine(state, losses, moment)
        (total * moment.share).backward()  # type: ignore[no-untyped-call]
        return weights

    def finish(self, state: nn.Module, moment: Moment) -> Mapping[str, Tensor] | None:
        """Called once a step, after the last micro-batch and before clipping.

        It may change `.grad`, and return the weights used. torch's generator is seeded from the
        run's seed and the step, so what is drawn here does not depend on how the step is cut. Where
        the step's gradients are not finite, leave them as they are: the loop then makes no update.
        """

    def forget(self, state: nn.Module) -> None:
        """Drop what `backward` has gathered beside `.grad`, which the loop clears.

        Called where a step begins anew because it did not fit into memory.
        """

    def kept_gradients(self, state: nn.Module) -> Sequence[Tensor]:
        """Tensors in which gradients of the step stand beside `.grad` until `finish`.

        Where several processes train together, each has a part of every gradient, so these tensors
        are averaged over the processes before `finish`, in place, as every `.grad` is. Losses are
        those of all texts in every process, and so is what follows from them.
        """
        return ()

    def look(
        self,
        state: nn.Module,
        before: Mapping[str, Tensor],
        after: Mapping[str, Tensor],
        moment: Moment,
    ) -> None:
        """Called after the update where `looks_again`, with the step's losses before and after it.

        Both are on the same texts with the same dropout. Where the step was not finite, no update
        was made and either may be NaN, which must not get into the state.
        """

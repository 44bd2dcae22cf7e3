"""What a change of the encoder is: parts that are added to it or frozen in it before it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError
from emomtl.seeds import torch_seed

if TYPE_CHECKING:
    from torch import nn

    from emomtl.contracts.sampler import Moment


class TaskSwitch:
    """The tasks of a run, and for which of them the encoder computes now.

    A change that depends on the task keeps the switch that `apply` gets, and reads `active` in its
    forward pass: transformers' modules cannot pass the task's name on.
    """

    def __init__(self, tasks: Sequence[str], seed: int) -> None:
        self.tasks, self._seed = tuple(tasks), seed
        self._active: str | None = None

    @property
    def active(self) -> str:
        """The task that the encoder computes for; `EmomtlError` outside of `using`."""
        if self._active is None:
            problem = "this encoder answers each task in its own way, and no task was named"
            remedy = f"encode the texts once for each task: {', '.join(self.tasks)}"
            raise EmomtlError(problem, remedy=remedy)
        return self._active

    @property
    def current(self) -> str | None:
        """The same, or None outside of `using`."""
        return self._active

    @contextmanager
    def using(self, task: str | None) -> Iterator[None]:
        """Inside, the encoder computes for `task`."""
        before, self._active = self._active, task
        try:
            yield
        finally:
            self._active = before

    @contextmanager
    def seeded(self, *key: int | str) -> Iterator[None]:
        """Inside, torch's random numbers follow from the run's seed and this key alone.

        Outside, its generator is as it was before.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(self._seed, "change", *key))
            yield


@dataclass(frozen=True)
class Applied:
    """What a change did to an encoder.

    `own` has the new parameters that belong to one task alone, by task; all other parameters of the
    encoder are shared. `at` is called before each step with the moment, and sets `requires_grad` of
    parameters as a pure function of it, so that a resumed run has them as an unbroken one. The
    optimiser knows every parameter that is trainable when the changes have been applied, and passes
    over those without a gradient in a step.
    """

    own: Mapping[str, Sequence[nn.Parameter]] = field(default_factory=dict)
    at: Callable[[Moment], None] | None = None


def modules_by_name(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """A ModuleDict that takes any name as a key, such as that of a task or an objective.

    torch's own refuses the names of its methods and fields, such as `values`, `type` or `train`.
    The names of parameters are the same.
    """
    from torch import nn

    class ByName(nn.ModuleDict):
        """Keeps each module under its name alone, and not as an attribute."""

        def __setitem__(self, key: str, module: nn.Module) -> None:
            self._modules[key] = module

        def __setattr__(self, name: str, value: Any) -> None:
            # `train()` and `eval()` set this field. torch would refuse it beside a module that is
            # called `training`.
            if name == "training":
                self.__dict__[name] = value
            else:
                super().__setattr__(name, value)

    return ByName(modules)


class EncoderChange(ABC):
    """A change of the shared encoder; a frozen dataclass whose fields are options.

    They stand in one table of `[[encoder.changes]]`.
    """

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def per_task(self) -> bool:
        """Whether the vectors depend on the task, so that a text is encoded once for each task."""
        return False

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """Raise `EmomtlError` where the options do not fit the run's tasks or its other changes."""

    @abstractmethod
    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        """Change the encoder in place, and say what was done.

        `encoder` is a model of transformers, (B, T) token ids to (B, T, W) vectors, with the
        changes that the manifest lists earlier. `pretrained` are the parameters that it was loaded
        with: freeze these, and not what another change has added. Draw all random numbers inside
        `switch.seeded(...)`. It is called again when a run is resumed or opened: the same parts
        under the same names must come out, since their values are then read from a checkpoint.
        Raise `EmomtlError` where the architecture lacks what the change needs.
        """

    def merge(self, encoder: nn.Module) -> bool:
        """Put what was learned for all tasks into the pretrained parameters, and return True.

        It is called when another run starts from one with this change and does not have it
        (`[start]`): the encoder without the change must then compute what it did with it. Only
        values change, in place. Return False where no values of the pretrained parameters do that,
        or where tasks differ: then only what belongs to single tasks may be lost.
        """
        return False

"""What a change of the encoder is: parts that are added to it, or frozen in it, after it was loaded and before it trains."""

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
    """The tasks of a run, and for which of them the encoder is answering now.

    A change that depends on the task keeps the switch that `apply` is given, and reads `active` when it computes.
    """

    def __init__(self, tasks: Sequence[str], seed: int) -> None:
        self.tasks, self._seed = tuple(tasks), seed
        self._active: str | None = None

    @property
    def active(self) -> str:
        """The task that the encoder is answering for; `EmomtlError` outside of `using`."""
        if self._active is None:
            remedy = f"encode the texts once for each task: {', '.join(self.tasks)}"
            raise EmomtlError("this encoder answers each task in its own way, and no task was named", remedy=remedy)
        return self._active

    @property
    def current(self) -> str | None:
        """The same, or None outside of `using`."""
        return self._active

    @contextmanager
    def using(self, task: str | None) -> Iterator[None]:
        """Inside, the encoder answers for `task`."""
        before, self._active = self._active, task
        try:
            yield
        finally:
            self._active = before

    @contextmanager
    def seeded(self, *key: int | str) -> Iterator[None]:
        """Inside, torch draws numbers that follow from the run's seed and this key alone; outside nothing was drawn."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(self._seed, "change", *key))
            yield


@dataclass(frozen=True)
class Applied:
    """What a change did to an encoder.

    `own` has the new parameters that belong to one task alone, by task; all other parameters of the encoder are shared.
    `at` is called before each step with the moment, and opens and closes parameters (`requires_grad`) as a pure function of it,
    so that a resumed run finds them as an unbroken one had them. The optimiser knows every parameter that is open when the
    changes have been applied, and passes over those that a step leaves without a gradient.
    """

    own: Mapping[str, Sequence[nn.Parameter]] = field(default_factory=dict)
    at: Callable[[Moment], None] | None = None


def modules_by_name(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """A ModuleDict of modules by the name of a task, an objective or whatever else a user names: it takes any name.

    torch's own refuses those of its methods and fields, such as `values`, `type` or `train`. The names
    of parameters are the same.
    """
    from torch import nn

    class ByName(nn.ModuleDict):
        """Keeps each module under its name alone, and not as an attribute."""

        def __setitem__(self, key: str, module: nn.Module) -> None:
            self._modules[key] = module

        def __setattr__(self, name: str, value: Any) -> None:
            # the one field that torch sets later on: a module of this name would make it refuse
            if name == "training":
                self.__dict__[name] = value
            else:
                super().__setattr__(name, value)

    return ByName(modules)


class EncoderChange(ABC):
    """A change of the shared encoder; a frozen dataclass whose fields are options of one `[[encoder.changes]]`."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def per_task(self) -> bool:
        """True where the encoder's answer depends on the task, so that a text is encoded once for each of its tasks."""
        return False

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """Raise `EmomtlError` where the options do not fit the tasks of the run, or the other changes that it lists."""

    @abstractmethod
    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Change the encoder in place, and say what was done.

        `encoder` is a model of transformers, (B, T) token ids to (B, T, W) vectors; changes that the manifest lists earlier are
        in it. `pretrained` are the parameters that it came with: freeze these, and not what another change has added. Whatever
        is drawn is drawn inside `switch.seeded(...)`. Called again when a run is resumed or opened: the same parts under the
        same names must come out, for their values are then read from a checkpoint. `EmomtlError` where the architecture lacks
        what the change needs.
        """

    def merge(self, encoder: nn.Module) -> bool:
        """Put what the change has learned for all tasks alike into the pretrained parameters; whether that could be done.

        Called when another run starts from one with this change and has none like it (`[start]`): its encoder has to answer
        as the changed one did, without what the change added. Values change in place, nothing else does. False where there is
        no such parameter values, or the change lets tasks differ: then only what belongs to single tasks may be lost.
        """
        return False

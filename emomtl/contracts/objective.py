"""What an objective is: an extra loss on a task's texts, such as a contrastive one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from emomtl.errors import EmomtlError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy


@dataclass(frozen=True)
class HeadOutput:
    """What one task's head gives for some texts: logits (B, L), with targets (B, ...) and labels.

    Targets are as the head encodes them: float (B, L) with NaN where a label is unknown, or int
    (B,), negative where the label is unknown. `taxonomy` is None for a task that answers with
    numbers.
    """

    logits: Tensor
    targets: Tensor
    taxonomy: Taxonomy | None = None

    @property
    def exclusive(self) -> bool:
        """Whether a text has exactly one label (integer targets), so a softmax over the logits."""
        return not self.targets.is_floating_point()

    def label_sets(self) -> Tensor:
        """Which labels each text has, float (B, L) in 0..1; NaN where it is unknown."""
        if not self.exclusive:
            return self.targets
        import torch

        known = (self.targets >= 0).unsqueeze(1)
        labels = torch.arange(self.logits.shape[1], device=self.targets.device)
        one_hot = (self.targets.unsqueeze(1) == labels).to(self.logits.dtype)
        return torch.where(known, one_hot, torch.nan)


@dataclass(frozen=True)
class View:
    """The part of a micro-batch on which an objective's task is trained.

    - `pooled`: the pooled vectors of the texts, (B, W).
    - `own`: what the task's head gives for them.
    - `others`: by name, what the heads of other tasks that read the same texts in this step give
      for the first n <= B of them.
    - `again`: what the task's head gives in a second pass under other dropout (`second_pass`).

    All tensors carry gradients; `pooled` and logits may be bf16.
    """

    pooled: Tensor
    own: HeadOutput
    others: Mapping[str, HeadOutput] = field(default_factory=dict)
    again: HeadOutput | None = None


class Objective(ABC):
    """An extra loss on the texts of its task; a frozen dataclass, its fields are options.

    They stand in `[objectives.NAME]`. The loss L_o is added to the loss of its task before the
    weighting sees it: L_t + `weight` * L_o. An objective has no batches of its own: what needs them
    is a derived task. L_o is computed for each micro-batch (in all processes together) and weighted
    by its texts, labelled or not; in a step in which its task has no label at all, neither counts.
    """

    second_pass: ClassVar[bool] = False
    """True where the texts are encoded twice, under different dropout, for `view.again`. The loss
    of the task is then the mean over both passes. It costs another forward and backward pass."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def partners(self) -> tuple[str, ...]:
        """The other tasks that it needs in `view.others`; they have to read the same corpus."""
        return ()

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """Raise `EmomtlError` where the options do not fit the task `of`, or the run's tasks.

        It is called when the labels of all tasks are known. By default the task must have labels.
        """
        if tasks[of][1] is None:
            problem = f"'{of}' answers with numbers and has no labels"
            raise EmomtlError(problem, remedy="name a task with labels")

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """What it learns or remembers, for pooled vectors of `width` W.

        The module is saved with the model and trained with the heads.
        """
        from torch import nn

        return nn.Module()

    @abstractmethod
    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The loss, a scalar in fp32 (or fp64), the mean over texts; 0 where nothing can be
        learned.

        It must not depend on the order of the texts, draw no random numbers but torch's, and not
        wait for the device.
        """

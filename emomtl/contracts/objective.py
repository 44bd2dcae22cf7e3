"""What an objective is: an extra loss on the texts that a task trains, such as a contrastive or a hierarchical one."""

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
class Answers:
    """What one task's head answers for some texts: logits (B, L), its targets (B, ...), and its labels.

    Targets are as the head encodes them: float (B, L) with NaN where a label is unknown, or int (B,) with a negative number
    where the label is. `taxonomy` is None where the task answers with numbers.
    """

    logits: Tensor
    targets: Tensor
    taxonomy: Taxonomy | None = None

    @property
    def exclusive(self) -> bool:
        """Whether a text has exactly one label (targets are whole numbers), so that the logits belong into one softmax."""
        return not self.targets.is_floating_point()

    def label_sets(self) -> Tensor:
        """Which labels each text has, float (B, L) in 0..1; NaN where it is unknown."""
        if not self.exclusive:
            return self.targets
        import torch

        known = (self.targets >= 0).unsqueeze(1)
        names = torch.arange(self.logits.shape[1], device=self.targets.device)
        return torch.where(known, (self.targets.unsqueeze(1) == names).to(self.logits.dtype), torch.nan)


@dataclass(frozen=True)
class View:
    """The part of a micro-batch on which an objective's task is trained: pooled vectors (B, W) and the task's answers.

    `others` are the answers of the other tasks that read the same texts in this step, by name: of the first n <= B of them.
    `again` are the task's answers of a second pass under other dropout, for an objective that asks for one.
    All tensors carry gradients; `pooled` and logits may be bf16.
    """

    pooled: Tensor
    own: Answers
    others: Mapping[str, Answers] = field(default_factory=dict)
    again: Answers | None = None


class Objective(ABC):
    """An extra loss on the texts that its task trains; a frozen dataclass whose fields are options of `[objectives.NAME]`.

    Its loss L_o is added to the loss of its task before the weighting sees it: L_t + `weight` * L_o. It has no batches of its
    own: an objective that needs them is a derived task. L_o is computed for each micro-batch (in all processes together) and
    weighted by its texts, labelled or not; in a step in which its task has no label at all, neither counts.
    """

    second_pass: ClassVar[bool] = False
    """True where the texts are to be encoded and answered twice, under different dropout: `view.again` has the second
    answers, and the loss of the task is the mean over both passes. It costs another forward and backward pass."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @property
    def partners(self) -> tuple[str, ...]:
        """The other tasks whose answers on the same texts it needs; they have to read the same corpus."""
        return ()

    def check(self, of: str, tasks: Mapping[str, tuple[Head, Taxonomy | None]]) -> None:
        """Raise `EmomtlError` where the options do not fit the task `of`, or the tasks of the run.

        Called when the labels of all tasks are known. By default labels are asked for, which a task with numbers lacks.
        """
        if tasks[of][1] is None:
            raise EmomtlError(f"'{of}' answers with numbers and has no labels", remedy="name a task with labels")

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """What is learned or remembered, for pooled vectors of `width` W; saved with the model and trained with the heads."""
        from torch import nn

        return nn.Module()

    @abstractmethod
    def loss(self, module: nn.Module, view: View) -> Tensor:
        """The loss, a scalar in fp32 (or fp64), the mean over texts; 0 where there is nothing to learn from.

        It must not depend on the order of the texts, draw no random numbers but torch's, and not wait for the device.
        """

"""Everything that one run needs, brought up from a plan: rows, tokens, model, optimiser, state; fresh or from a checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from emomtl.compose import Plan
from emomtl.data.corpus import TaskData
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.inference.evaluator import Evaluator
from emomtl.inference.feature_vectors import FittedFeatures
from emomtl.metrics.selection import EMA
from emomtl.model.averaging import Average
from emomtl.model.fast.unpadded import Unpadded
from emomtl.model.network import MultiTaskModel
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.run import Run
from emomtl.train.by_task import TaskGradients
from emomtl.train.display import Display
from emomtl.train.draw import Feeder
from emomtl.train.environment import Change, amended
from emomtl.train.kept import keep_plugins
from emomtl.train.length import Length
from emomtl.train.outcome import Validated
from emomtl.train.phases import Phases
from emomtl.train.reduction import Reduction
from emomtl.train.scale import TaskScale
from emomtl.train.state import State

if TYPE_CHECKING:
    from emomtl.train.step_record import Step


@dataclass
class Session:
    """A run in memory; `unchanged_losses` and `warned` are what warnings remember, and no part of any result.

    `unsettled` are steps that were taken, of which the host does not know yet whether they were finite. `changed` is the
    environment of a resumed run that differs from its record, until it is written.
    """

    plan: Plan
    run: Run
    data: TaskData
    tokens: dict[tuple[str, str], Tokens]
    model: MultiTaskModel
    weighting: nn.Module
    optimizer: torch.optim.AdamW
    feeder: Feeder
    length: Length
    state: State
    device: str
    precision: str
    display: Display
    window: dict[str, torch.Tensor] = field(default_factory=dict)
    scored: Validated | None = None
    phases: Phases = field(default_factory=Phases)
    features: FittedFeatures = field(default_factory=FittedFeatures)
    elsewhere: dict[str, list[Any]] = field(default_factory=dict)
    unchanged_losses: dict[str, tuple[float, int]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    ranks: Ranks = ALONE
    reduction: Reduction | None = None
    unpadded: Unpadded | None = None
    scales: dict[str, TaskScale] = field(default_factory=dict)
    by_task: TaskGradients | None = None
    average: Average | None = None
    unsettled: deque[Step] = field(default_factory=deque)
    slimmed: bool = False
    changed: dict[str, Any] | None = None
    encoder_notes: list[str] = field(default_factory=list)

    def must_train(self) -> None:
        """EmomtlError where the run cannot go on, since `emomtl slim` removed the optimiser's state: it would begin anew."""
        if self.slimmed:
            found = "was slimmed: without its optimiser's state it cannot be trained further"
            remedy = "begin another run from its weights: `[start] run = ...` in a manifest"
            raise EmomtlError(Problem(str(self.run.folder), found, remedy))

    def change(self, changes: Sequence[Change], now: Mapping[str, Any]) -> None:
        """Go on with what has changed since the run was recorded; the record follows with the next checkpoint.

        A run that has finished takes no step, so nothing would be trained under what changed: it is refused.
        """
        counted = [one for one in changes if one.counts]
        if self.state.finished and counted:
            found = f"the run has finished, at step {self.state.step:,}, so nothing would be trained under what changed"
            remedy = "leave it as it was, or train a new run that begins with this one's weights ([start] in its manifest)"
            raise EmomtlError(*(Problem(one.place, f"{one}; {found}", remedy) for one in counted))
        if not changes or self.state.finished:
            return
        for one in counted:
            self.display.note(f"from step {self.state.step:,} on: {one.place}: {one}")
        self.changed = amended(self.run, now, changes, self.state.step)

    def record_changes(self) -> None:
        """Bring the record up to date, once a checkpoint holds a step that was trained under what changed."""
        if self.changed is not None:
            self.run.amend(self.plan.manifest, self.changed)
            keep_plugins(self.plan, self.run)  # after it: the record by then knows the old copies and the new
            self.changed = None

    @property
    def evaluator(self) -> Evaluator:
        """What scores the model as it is now."""
        return Evaluator(self.model, self.device, self.precision, self.plan.manifest.eval.batch_size, self.ranks)

    @property
    def lag(self) -> int:
        """How many steps the host may be behind the device before it looks whether they were finite."""
        return 1 if self.device == "cuda" else 0

    def warn_once(self, about: str, line: str) -> None:
        """Say something once about a thing, on the display and in the run's log."""
        if about not in self.warned:
            self.warned.add(about)
            self.display.note(line)
            self.run.log(f"warning: {line}")

    def say_of_encoder(self, lines: Iterable[str]) -> None:
        """Say what there is to say of the encoder and its weights, on the display and in the run's log."""
        for line in lines:
            self.encoder_notes.append(line)
            self.display.note(line)
            self.run.log(f"note: {line}")

    def emit(self, event: str, **facts: Any) -> list[Any]:
        """Emit an event to the active plugins and return their answers; a plugin that has become slow is named once.

        Of several processes only the first emits it.
        """
        if not self.ranks.first:
            return []
        answers = self.plan.plugins.emit(event, **facts)
        for line in self.plan.plugins.events.new_slow_listeners():
            self.display.note(line)
            self.run.log(line)
        return answers

    def parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors of a checkpoint: model, optimiser (by parameter name), weighting, and the average where there is one."""
        optimizer: dict[str, torch.Tensor] = {}
        for group in self.optimizer.param_groups:
            for name, parameter in zip(group["names"], group["params"], strict=True):
                for key, value in self.optimizer.state.get(parameter, {}).items():
                    optimizer[f"{key}:{name}"] = value
        parts = {"model": self.model.state_dict(), "optimizer": optimizer, "weighting": self.weighting.state_dict()}
        if self.average is not None:
            parts[EMA] = self.average.tensors()
        return parts

    def joined(self) -> Session:
        """The same session, its weights and those of the weighting the first process's, bit for bit."""
        every = [*self.model.state_dict().values(), *self.weighting.state_dict().values()]
        every += self.average.tensors().values() if self.average is not None else []
        self.ranks.broadcast(every)
        return self

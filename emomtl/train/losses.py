"""The losses of a micro-batch: each corpus is encoded once, each head answers its task's rows.

The loss of task t, as the weighting sees it:

    L_t = lambda_t f_t (l_t + sum_o w_o L_o)

with l_t the head's mean loss over known targets, L_o the loss of objective o on the task's texts,
w_o its `weight`, f_t the factor of `train.loss_scale` (see `emomtl.train.scale`), and lambda_t the
task's `weight`. So an objective weighs as much beside its task's loss on every scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from emomtl.contracts.heads import Head, SingleLabel
from emomtl.contracts.heads.single_label import MISSING
from emomtl.contracts.objective import HeadOutput, View
from emomtl.model.device import arithmetic, to_device
from emomtl.model.network import beside
from emomtl.train.reduction import gather_part

if TYPE_CHECKING:
    from emomtl.compose import BoundObjective, BoundTask
    from emomtl.contracts.sampler import Moment
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.model.fast.unpadded import Unpadded
    from emomtl.model.network import MultiTaskModel
    from emomtl.model.parallel.ranks import Ranks
    from emomtl.train.draw import Part, Totals
    from emomtl.train.scale import TaskScale


@dataclass
class Losses:
    """The losses of a step or of one of its micro-batches, by task; all are scalars.

    `losses` are the L_t of the module, with a graph in a micro-batch. `objectives` are the L_o, by
    `task/objective`, which the L_t contain; in a whole step they stand among `losses`. `raw` are
    the l_t. `weights` are those that the weighting gave, `encoder_norms` the norms of the tasks'
    gradients on the encoder.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    objectives: dict[str, Tensor] = field(default_factory=dict)
    raw: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    encoder_norms: dict[str, Tensor] = field(default_factory=dict)

    def add(self, micro: Losses, share: float) -> None:
        """Add a micro-batch that has this share of the step's rows, without its graph."""
        _add(self.losses, micro.losses | micro.objectives, share)
        _add(self.raw, micro.raw, share)


def _add(totals: dict[str, Tensor], micro: Mapping[str, Tensor], share: float) -> None:
    for name, loss in micro.items():
        totals[name] = totals.get(name, torch.zeros_like(loss)) + loss.detach() * share


@dataclass
class _Outputs:
    """What the model gave for a part, by task.

    Pooled vectors (n, W), logits (n, L), targets (n, ...), and logits of a second pass (n, L) where
    an objective asks for one. Of several processes all have those of all texts.
    """

    pooled: dict[str, Tensor]
    logits: dict[str, Tensor]
    targets: dict[str, Tensor]
    second_logits: dict[str, Tensor]


@dataclass
class TaskLosses:
    """Computes the losses of micro-batches, in the arithmetic of `device` and `precision`."""

    model: MultiTaskModel
    tasks: Mapping[str, BoundTask]
    taxonomies: Mapping[str, Taxonomy | None]
    objectives: Mapping[str, BoundObjective]
    scales: Mapping[str, TaskScale]
    seed: int
    device: str
    precision: str
    unpadded: Unpadded | None
    ranks: Ranks

    def of(self, parts: Sequence[Part], share: float, totals: Totals, moment: Moment) -> Losses:
        """The losses of a micro-batch that has `share` of the rows of a step with these totals.

        Over the micro-batches of a step, each times its `share`, they sum to the losses of the
        step, however it is cut. A task without a known target in the whole step has no loss, and
        neither have its objectives: 0 would be a loss, and the best there is.
        """
        result = Losses()
        for part, encoded in zip(parts, self._encode_unpadded(parts), strict=True):
            outputs = self._outputs(part, encoded)
            objective_losses = self._objective_losses(outputs, moment)
            for task in outputs.targets:
                if not totals.known[task]:
                    continue
                texts_share = part.number(task) / totals.texts[task]
                targets_share = part.known[task] / totals.known[task]
                part_of_step = texts_share / share
                # The caller multiplies by `share`. A head's loss, a mean over known targets, then
                # counts by targets_share; an objective's, a mean over texts, by texts_share.
                loss = self._head_loss(task, outputs) * (targets_share / texts_share)
                result.raw[task] = loss.detach() * part_of_step
                for name, objective_loss in objective_losses.get(task, {}).items():
                    loss = loss + self.objectives[name].weight * objective_loss
                    result.objectives[f"{task}/{name}"] = objective_loss * part_of_step
                weight = self.tasks[task].table.weight_at(moment.progress)  # lambda_t
                factor = self.scales[task].factor(totals.targets(task))  # f_t
                result.losses[task] = loss * (weight * factor * part_of_step)
        return result

    def encoder_outputs(self, batches: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """What the encoder gives for batches of token ids, in one pass over the tokens of all.

        None for each where this path is not taken: the encoder is then called with padded batches.
        """
        if self.unpadded is None:
            return [None] * len(batches)
        return self.unpadded.outputs(batches, self.model.layers.asked)

    def _encode_unpadded(self, parts: Sequence[Part]) -> Sequence[Any]:
        if not any(part.inputs["input_ids"].size for part in parts):
            return [None] * len(parts)
        with arithmetic(self.device, self.precision):
            return self.encoder_outputs([part.inputs for part in parts])

    def _outputs(self, part: Part, encoded: Any) -> _Outputs:
        """Run encoder and heads on a part. The order of the calls is that of dropout's numbers."""
        model = self.model
        inputs, targets = to_device(part.inputs, self.device), to_device(part.targets, self.device)
        pooled: dict[str, Tensor] = {}
        with arithmetic(self.device, self.precision):
            if part.tokens:
                (task,) = targets
                logits = {task: model.token_outputs(task, inputs, targets[task], encoded)}
            else:
                rows = {task: self.ranks.local_count(part.number(task)) for task in targets}
                pooled = model.pooled(inputs, rows, encoded)
                logits = self._logits(pooled, part)
            second = self._second_logits(part, inputs)
        outputs = _Outputs(pooled, logits, targets, second)
        return outputs if self.ranks.world_size == 1 else self._gathered(outputs, part)

    def _second_logits(self, part: Part, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The logits under other dropout, of the tasks whose objectives ask for a second pass."""
        asking = {o.task for o in self.objectives.values() if o.objective.second_pass}
        tasks = [task for task in part.targets if task in asking]
        if part.tokens or not tasks:
            return {}
        rows = {task: self.ranks.local_count(part.number(task)) for task in tasks}
        encoded = None
        if self.unpadded is not None and part.inputs["input_ids"].size:
            (encoded,) = self.encoder_outputs([part.inputs])
        else:
            most = max(rows.values())
            inputs = {name: tensor[:most] for name, tensor in inputs.items()}
        return self._logits(self.model.pooled(inputs, rows, encoded), part)

    def _logits(self, pooled: Mapping[str, Tensor], part: Part) -> dict[str, Tensor]:
        """The logits of each task from its pooled vectors and the features of its texts."""
        inputs = {task: beside(vectors, part.features) for task, vectors in pooled.items()}
        return {task: self.model.logits(task, values) for task, values in inputs.items()}

    def _gathered(self, outputs: _Outputs, part: Part) -> _Outputs:
        """The outputs of all processes; pooled vectors only of the tasks that have objectives."""
        with_objective = {objective.task for objective in self.objectives.values()}
        pooled, logits, targets = gather_part(
            self.ranks, part, outputs.pooled, outputs.logits, outputs.targets, with_objective
        )
        second = {
            task: self.ranks.all_gather(values.float(), part.number(task))
            for task, values in outputs.second_logits.items()
        }
        return _Outputs(pooled, logits, targets, second)

    def _head_loss(self, task: str, outputs: _Outputs) -> Tensor:
        """The head's mean loss over known targets; with a second pass, the mean of both passes."""
        logits, targets = outputs.logits[task], outputs.targets[task]
        if task in outputs.second_logits:
            logits = torch.cat([logits, outputs.second_logits[task]])
            targets = torch.cat([targets, targets])
        return self.tasks[task].head.loss(logits, targets)

    def _objective_losses(self, outputs: _Outputs, moment: Moment) -> dict[str, dict[str, Tensor]]:
        """The loss of each objective whose task is in a part: by task, then by objective."""
        answers = {}
        for task, targets in outputs.targets.items():
            decided = decided_targets(self.tasks[task].head, targets)
            answers[task] = HeadOutput(outputs.logits[task], decided, self.taxonomies[task])
        losses: dict[str, dict[str, Tensor]] = {}
        for name, bound in self.objectives.items():
            task = bound.task
            if task in answers:
                view = view_of(task, outputs.pooled[task], answers, outputs.second_logits.get(task))
                # All processes draw alike, since each computes the loss of all texts.
                with self.ranks.alike(self.seed, "objective", name, moment.step):
                    loss = bound.objective.loss(self.model.objectives[name], view)
                losses.setdefault(task, {})[name] = loss
        return losses


def view_of(
    task: str,
    pooled: Tensor,
    answers: Mapping[str, HeadOutput],
    second_logits: Tensor | None = None,
) -> View:
    """What an objective of `task` sees: its texts, and what other tasks answer for the same."""
    own = answers[task]
    rows = len(own.targets)
    others = {}
    for name, other in answers.items():
        if name != task:
            others[name] = HeadOutput(other.logits[:rows], other.targets[:rows], other.taxonomy)
    second = None
    if second_logits is not None:
        second = HeadOutput(second_logits, own.targets, own.taxonomy)
    return View(pooled, own, others, second)


def decided_targets(head: Head, targets: Tensor) -> Tensor:
    """The targets (B, ...) as objectives see them.

    Of a soft single label that is the label with the largest share (B,): shares (B, L) would read
    as a set of labels, and the logits as one sigmoid each.
    """
    if not (isinstance(head, SingleLabel) and targets.ndim == 2):
        return targets
    unknown = targets.isnan().any(dim=1)
    return targets.nan_to_num().argmax(dim=1).masked_fill(unknown, MISSING)

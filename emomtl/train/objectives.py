"""The losses of objectives on one part of a micro-batch: what each sees, and how it joins the loss of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from emomtl.contracts.heads import Head, SingleLabel
from emomtl.contracts.heads.single_label import MISSING
from emomtl.contracts.objective import HeadOutput, View
from emomtl.model.network import beside
from emomtl.train.session import Session

if TYPE_CHECKING:
    from emomtl.train.draw import Part


def objective_losses(
    session: Session,
    pooled: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    again: Mapping[str, Tensor],
) -> dict[str, dict[str, Tensor]]:
    """The loss L_o of every objective whose task is trained on these texts: by task, then by the objective's name.

    All tensors are of all texts of the micro-batch, whichever process encoded them. `again` are the logits
    of a second pass, where one was asked for.
    """
    answers = {}
    for task, of_task in targets.items():
        decided = decided_targets(session.plan.tasks[task].head, of_task)
        answers[task] = HeadOutput(logits[task], decided, session.data.taxonomies[task])
    found: dict[str, dict[str, Tensor]] = {}
    for name, one in session.plan.objectives.items():
        if one.task in answers:
            view = _view(one.task, pooled[one.task], answers, again.get(one.task))
            with session.ranks.alike(session.feeder.seed, "objective", name, session.state.step):
                found.setdefault(one.task, {})[name] = one.objective.loss(session.model.objectives[name], view)
    return found


def decided_targets(head: Head, targets: Tensor) -> Tensor:
    """The targets (B, ...) as objectives see them: of a soft single label, the label with the largest share (B,).

    Shares (B, L) would read as a set of labels there, and the logits as one sigmoid each.
    """
    if not (isinstance(head, SingleLabel) and targets.ndim == 2):
        return targets
    unknown = targets.isnan().any(dim=1)
    return targets.nan_to_num().argmax(dim=1).masked_fill(unknown, MISSING)


def second_logits(session: Session, part: Part, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The logits of a second pass over a part's texts, under other dropout, of the tasks whose objectives ask for one."""
    asking = {one.task for one in session.plan.objectives.values() if one.objective.second_pass}
    rows = {task: session.ranks.local_count(part.number(task)) for task in part.targets if task in asking}
    if part.tokens or not rows:
        return {}
    output = None
    if session.unpadded is not None and part.inputs["input_ids"].size:
        (output,) = session.unpadded.outputs([part.inputs], session.model.layers.asked)
    else:
        inputs = {name: tensor[: max(rows.values())] for name, tensor in inputs.items()}
    pooled = session.model.pooled(inputs, rows, output)
    return {task: session.model.logits(task, beside(read, part.features)) for task, read in pooled.items()}


def _view(task: str, pooled: Tensor, answers: Mapping[str, HeadOutput], again: Tensor | None = None) -> View:
    """The texts of one task, with what other tasks answer for them."""
    rows = len(answers[task].targets)
    others = {
        other: HeadOutput(one.logits[:rows], one.targets[:rows], one.taxonomy) for other, one in answers.items() if other != task
    }
    own = answers[task]
    second = None if again is None else HeadOutput(again, own.targets, own.taxonomy)
    return View(pooled, own, others, second)

"""The losses of objectives on one part of a micro-batch: what each sees, and how it joins the loss of its task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from emomtl.objectives import Answers, View
from emomtl.train.session import Session


def objective_losses(
    session: Session, pooled: Mapping[str, Tensor], logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """The loss L_o of every objective whose task is trained on these texts: by task, then by the objective's name.

    All tensors are of all texts of the micro-batch, whichever process encoded them.
    """
    answers = {task: Answers(logits[task], one, session.data.taxonomies[task]) for task, one in targets.items()}
    found: dict[str, dict[str, Tensor]] = {}
    for name, one in session.plan.objectives.items():
        if one.task in answers:
            view = _view(one.task, pooled[one.task], answers)
            with session.ranks.alike(session.feeder.seed, "objective", name, session.state.step):
                found.setdefault(one.task, {})[name] = one.objective.loss(session.model.objectives[name], view)
    return found


def _view(task: str, pooled: Tensor, answers: Mapping[str, Answers]) -> View:
    """The texts of one task, with what other tasks answer for them."""
    rows = len(answers[task].targets)
    others = {
        other: Answers(one.logits[:rows], one.targets[:rows], one.taxonomy) for other, one in answers.items() if other != task
    }
    return View(pooled, answers[task], others)

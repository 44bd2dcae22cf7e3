"""The scale of a task's loss before anything weighs it: `train.loss_scale`.

The mean over 28 labels has gradients some twenty times smaller than a cross-entropy of two classes
has. Under Adam the task with the large gradients then sets the step size of the shared encoder and
starves the other. So losses are first brought to one scale, by constants of the training rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emomtl.contracts.heads import BaseRate, Head, TokenHead
from emomtl.errors import EmomtlError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData
    from emomtl.data.tokens import Tokens

Scale = Literal["nats", "base-rate", "mean"]


@dataclass(frozen=True)
class TaskScale:
    """What a task's mean loss is multiplied by.

    `base` is the loss of the best constant answer on the training rows, None where the head does
    not say. `targets` are the known targets of a labelled training row, on average (28 labels, 1
    class).
    """

    scale: Scale
    base: BaseRate | None
    targets: float = 1.0

    def factor(self, targets: float) -> float:
        """The factor for a step whose labelled rows have this many known `targets` each.

        With m the mean loss over known targets, b that of the best constant answer and k the
        targets: "nats" is m * k (times the head's nats), the negative log-likelihood of a row
        summed over its known labels; "base-rate" is m / b; "mean" is m. Without a constant, or
        where it is 0 (the same target in all rows), it is m.
        """
        if self.scale == "mean" or self.base is None or not self.base.loss > 0:
            return 1.0
        return self.base.nats * targets if self.scale == "nats" else 1 / self.base.loss

    @property
    def base_loss(self) -> float:
        """The scaled loss of the best constant answer; 1 where there is none."""
        if self.base is None or not self.base.loss > 0:
            return 1.0
        return self.base.loss * self.factor(self.targets)

    @property
    def sentence(self) -> str:
        """The constant in words, for `check` and the log."""
        if self.base is None:
            return (
                "its head does not say what the best constant answer costs: the mean loss as it is"
            )
        if not self.base.loss > 0:
            constant = "the mean loss as it is (a constant of 1)"
            return f"every training row has the same target: {constant}"
        base = f"the best constant answer has a mean loss of {self.base.loss:.4g}"
        if self.scale == "mean":
            return f"{base}; the mean loss is taken as it is"
        factor = self.factor(self.targets)
        return f"{base}; the mean loss is multiplied by {factor:.4g} ({self.scale})"


def with_fitted_heads(plan: Plan, data: TaskData) -> Plan:
    """The plan with each head fitted to its training rows: losses may need their label counts."""
    tasks = dict(plan.tasks)
    for name, bound in plan.tasks.items():
        rows = data.corpus(name).rows[name, "train"]
        try:
            head = bound.head.fitted(rows.targets, data.taxonomies[name])
        except EmomtlError as error:
            place = f"tasks.{name}.head"
            problems = [replace(problem, place=place) for problem in error.problems]
            raise EmomtlError(*problems) from error
        tasks[name] = replace(bound, head=head)
    return replace(plan, tasks=tasks)


def task_scales(
    plan: Plan,
    data: TaskData,
    tokens: Mapping[tuple[str, str], Tokens] | None = None,
    special: Collection[int] = (),
) -> dict[str, TaskScale]:
    """The scale of each trained task, from its training rows; heads have to be fitted.

    `special` are the token ids that are no words. Without `tokens` the tasks whose heads read
    tokens are left out.
    """
    scale = plan.manifest.train.loss_scale
    scales = {}
    for name in data.taxonomies:
        head, corpus = plan.tasks[name].head, data.corpus(name)
        rows = corpus.rows[name, "train"]
        if not isinstance(head, TokenHead):
            scales[name] = scale_of_targets(scale, head, rows.targets)
        elif tokens is not None:
            labelled = rows.index[head.present(rows.targets)]
            ids = tokens[corpus.name, "train"].only(labelled).ids
            words = ids[~np.isin(ids, list(special))]
            scales[name] = TaskScale(scale, head.base_rate(words))
    return scales


def scale_of_targets(scale: Scale, head: Head, targets: NDArray[Any]) -> TaskScale:
    """The scale of a head whose training rows have these targets."""
    known = head.known(targets)
    labelled = max(1, int((known > 0).sum()))
    return TaskScale(scale, head.base_rate(targets), float(known.sum()) / labelled)

"""Weights that favour the tasks which validation says are done worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Le

from emomtl import EmomtlError, Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.last_scores import last_score
from emomtl_plugins.task_names import unknown_tasks
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn

EDGE = 1e-3
"""Scores are kept this far from 0 and 1, where the weight would be infinite or 0."""


@dataclass(frozen=True)
class TaskPrioritisation(Weighting):
    """L = sum_t lambda_t L_t with lambda_t = −(1 − k_t)^gamma log k_t and k_t a running mean of the task's score.

    Guo et al. (2018), "Dynamic Task Prioritization for Multitask Learning", ECCV. Scores are in 0..1. After each evaluation
    k_t <- smoothing score_t + (1 − smoothing) k_t, from the first score on; before it, a task's weight is 1. `gamma` is the
    focus on tasks that are done badly, `smoothing` the part of the new score (1: no memory), `metric` the figure of each task
    by its full name (left out: `macro_f1`, else `pearson_r`).

    Departures: scores are validation's and not the training batches', as they are known anyway and not over-fitted; the
    paper's second level, the same focus among the examples of a task, is left out; and unless `normalise` is false the
    weights of scored tasks are scaled to sum to their number, so that the learning rate keeps its meaning while scores rise.
    """

    gamma: Annotated[float, Ge(0), Le(10)] = 1.0
    smoothing: Annotated[float, Gt(0), Le(1)] = 0.5
    metric: Mapping[str, str] | None = None
    normalise: bool = True

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where `metric` names an unknown task."""
        found = unknown_tasks(self.metric or {}, tasks)
        if found:
            raise EmomtlError(*found, place="weighting.metric", remedy="name a metric for tasks of the run")

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """Buffers: `kpi` (T,), the running scores (0: none yet), and `evaluation`, the last one that was taken in."""
        import torch

        state = super().start(tasks, shared)
        state.register_buffer("kpi", torch.zeros(len(tasks)))
        state.register_buffer("evaluation", torch.tensor(0))
        return state

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and the weights; `EmomtlError` where a metric of `metric` is not among the scores."""
        import torch

        with torch.no_grad():
            kpi = self._take_in(state, [self._score(moment, task) for task in moment.tasks], moment.evaluation)
            scored = kpi > 0
            safe = torch.where(scored, kpi, torch.full_like(kpi, 0.5))
            logs = self.gamma * torch.log1p(-safe) + torch.log(-torch.log(safe))
            if self.normalise:
                values = scored.sum() * torch.softmax(logs.masked_fill(~scored, -math.inf), dim=0)
            else:
                values = torch.exp(logs)
            weights = torch.where(scored, values, torch.ones_like(values))
        return weighted_sum(losses, dict(zip(moment.tasks, weights.unbind(), strict=True)))

    def _take_in(self, state: nn.Module, scores: Sequence[float], evaluation: int) -> Tensor:
        """The running scores, moved towards those of a new evaluation; 0 is no score. Does not wait for the device."""
        import torch

        kpi, last = state.get_buffer("kpi"), state.get_buffer("evaluation")
        found = torch.stack([kpi.new_full((), score) for score in scores])
        moved = torch.where(kpi > 0, self.smoothing * found + (1 - self.smoothing) * kpi, found)
        kpi.copy_(torch.where((last != evaluation) & (found > 0), moved, kpi))
        last.fill_(evaluation)
        return kpi

    def _score(self, moment: Moment, task: str) -> float:
        """The task's last validation score, kept off 0 and 1; 0 where it has none or an undefined one."""
        score = last_score(moment, task, (self.metric or {}).get(task), "weighting.metric")
        return 0.0 if score is None else min(max(score, EDGE), 1 - EDGE)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `task-prioritisation`."""
    return {"task-prioritisation": TaskPrioritisation}

"""`task-prioritisation`: weights that favour the tasks with the worst validation scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Le

from emomtl import EmomtlError, Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.last_scores import last_score
from emomtl_plugins.task_names import unknown_tasks
from emomtl_plugins.weightings.weighted_sum import by_task, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn

MARGIN = 1e-3
"""Scores are clipped this far from 0 and 1, where the weight would be infinite or 0."""


@dataclass(frozen=True)
class TaskPrioritisation(Weighting):
    """L = sum_t lambda_t L_t, lambda_t = −(1 − k_t)^gamma log k_t, k_t a running mean of its score.

    Guo et al. (2018), "Dynamic Task Prioritization for Multitask Learning", ECCV. Scores are in
    0..1. After each evaluation k_t <- smoothing score_t + (1 − smoothing) k_t, from the first score
    on; before it the weight of a task is 1. The larger `gamma`, the more the worst tasks count;
    `smoothing` is the part of the new score (1: no memory). `metric` names the metric of each task
    (left out: `macro_f1`, else `pearson_r`).

    Departures: scores are those of validation and not of the training batches, since they are
    computed anyway and not over-fitted. The paper's second level, the same focus among the examples
    of a task, is left out. Unless `normalise` is false, the weights of scored tasks are scaled to
    sum to their number, so that the learning rate keeps its meaning while scores rise.
    """

    gamma: Annotated[float, Ge(0), Le(10)] = 1.0
    smoothing: Annotated[float, Gt(0), Le(1)] = 0.5
    metric: Mapping[str, str] | None = None
    normalise: bool = True

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        problems = unknown_tasks(self.metric or {}, tasks)
        if problems:
            remedy = "name a metric for tasks of the run"
            raise EmomtlError(*problems, place="weighting.metric", remedy=remedy)

    def start(self, tasks: Mapping[str, TaskFacts], shared: Sequence[nn.Parameter]) -> nn.Module:
        """The buffers `kpi` (T,), the k_t, 0 for no score, and `evaluation`, the last one."""
        import torch

        state = super().start(tasks, shared)
        state.register_buffer("kpi", torch.zeros(len(tasks)))
        state.register_buffer("evaluation", torch.tensor(0))
        return state

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`EmomtlError` where a metric of the option `metric` is not among the scores."""
        import torch

        with torch.no_grad():
            kpi = self._updated_kpi(state, moment)
            scored = kpi > 0
            k = torch.where(scored, kpi, torch.full_like(kpi, 0.5))
            # log lambda_t = gamma log(1 - k_t) + log(-log k_t)
            log_weights = self.gamma * torch.log1p(-k) + torch.log(-torch.log(k))
            if self.normalise:
                masked = log_weights.masked_fill(~scored, -math.inf)
                weights = scored.sum() * torch.softmax(masked, dim=0)
            else:
                weights = torch.exp(log_weights)
            weights = torch.where(scored, weights, torch.ones_like(weights))
        return weighted_sum(losses, by_task(weights, moment))

    def _updated_kpi(self, state: nn.Module, moment: Moment) -> Tensor:
        """The running scores (T,), updated once for each new evaluation, without a wait."""
        import torch

        kpi, last_evaluation = state.get_buffer("kpi"), state.get_buffer("evaluation")
        scores = torch.stack([kpi.new_full((), self._score(moment, task)) for task in moment.tasks])
        mean = self.smoothing * scores + (1 - self.smoothing) * kpi
        moved = torch.where(kpi > 0, mean, scores)
        is_new = (last_evaluation != moment.evaluation) & (scores > 0)
        kpi.copy_(torch.where(is_new, moved, kpi))
        last_evaluation.fill_(moment.evaluation)
        return kpi

    def _score(self, moment: Moment, task: str) -> float:
        """The last validation score of a task, clipped; 0 where it has none."""
        score = last_score(moment, task, (self.metric or {}).get(task), "weighting.metric")
        return 0.0 if score is None else min(max(score, MARGIN), 1 - MARGIN)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"task-prioritisation": TaskPrioritisation}

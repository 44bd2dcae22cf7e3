"""`headroom`: sampling by what each task has left to gain on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from emomtl import EmomtlError, Moment, Sampler, hookimpl
from emomtl_plugins.last_scores import last_score
from emomtl_plugins.samplers.power import power_law
from emomtl_plugins.task_names import unknown_tasks


@dataclass(frozen=True)
class Headroom(Sampler):
    """p_i ∝ max(0, g_i − s_i): the gap between the goal g_i of a task and its validation score s_i.

    Gottumukkala et al. (2020), "Dynamic Sampling Strategies for Multi-Task Reading Comprehension",
    ACL. Their goal is the score of a model trained on the task alone: give it in `goals`, by task.
    A task without one has 1, the best that its metric can be. `metric` names the metric of each
    task (left out: `macro_f1`, else `pearson_r`); the probabilities change after each evaluation.

    Departures: sizes may count, p_i ∝ n_i^alpha (g_i − s_i), with `alpha` = 1/T of a temperature T
    (0, the default, as in the paper). The part `least` of the draws goes by p_i ∝ n_i^alpha, so
    that a task which has reached its goal is not forgotten; before the first evaluation, and when
    every goal is reached, all draws do. A task without a score has the mean gap of the others.
    """

    goals: Mapping[str, Annotated[float, Gt(0), Le(1)]] | None = None
    alpha: Annotated[float, Ge(0), Le(1)] = 0.0
    least: Annotated[float, Ge(0), Le(1)] = 0.1
    metric: Mapping[str, str] | None = None

    def check(self, sizes: Mapping[str, int]) -> None:
        for option, tasks in (("goals", self.goals), ("metric", self.metric)):
            problems = unknown_tasks(tasks or {}, sizes)
            if problems:
                raise EmomtlError(
                    *problems, place=f"sampler.{option}", remedy="name tasks of the run"
                )

    def probabilities(self, moment: Moment) -> dict[str, float]:
        by_size = power_law(moment.sizes, self.alpha)
        goals, metrics = self.goals or {}, self.metric or {}
        gaps = {}
        for task in moment.tasks:
            score = last_score(moment, task, metrics.get(task), "sampler.metric")
            if score is not None:
                gaps[task] = max(0.0, goals.get(task, 1.0) - score)
        if not any(gaps.values()):
            return by_size
        mean_gap = math.fsum(gaps.values()) / len(gaps)
        # n_i^alpha (g_i - s_i), still to be divided by the sum
        by_gap = {task: p * gaps.get(task, mean_gap) for task, p in by_size.items()}
        total = math.fsum(by_gap.values())
        probabilities = {}
        for task, p in by_size.items():
            probabilities[task] = (1 - self.least) * by_gap[task] / total + self.least * p
        return probabilities


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {"headroom": Headroom}

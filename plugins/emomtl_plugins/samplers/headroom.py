"""Sampling by what validation says is left to gain."""

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
    """p_i ∝ max(0, g_i − s_i): the gap between the goal g_i of a task and its last validation score s_i.

    Gottumukkala et al. (2020), "Dynamic Sampling Strategies for Multi-Task Reading Comprehension", ACL.
    Their goal is the score of a model trained on the task alone: give it in `goals`, by task. A task
    without one has 1, the best that its metric can be. `metric` names the metric of each task (left
    out: `macro_f1`, else `pearson_r`); the probabilities change after each evaluation.

    Departures: sizes may count, p_i ∝ n_i^alpha (g_i − s_i) with `alpha` = 1/T of a temperature T (0,
    the default, as in the paper); each task keeps the part `least` of p_i ∝ n_i^alpha, so that one
    that has reached its goal is not forgotten. Before the first evaluation, and where every goal is
    reached, that is all; a task that has no score counts with the mean gap of those that have one.
    """

    goals: Mapping[str, Annotated[float, Gt(0), Le(1)]] | None = None
    alpha: Annotated[float, Ge(0), Le(1)] = 0.0
    least: Annotated[float, Ge(0), Le(1)] = 0.1
    metric: Mapping[str, str] | None = None

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise `EmomtlError` where `goals` or `metric` name a task that the run does not have."""
        for option, given in (("goals", self.goals), ("metric", self.metric)):
            if found := unknown_tasks(given or {}, sizes):
                raise EmomtlError(*found, place=f"sampler.{option}", remedy="name tasks of the run")

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """By the scores of the last evaluation."""
        by_size = power_law(moment.sizes, self.alpha)
        scores = {task: last_score(moment, task, (self.metric or {}).get(task), "sampler.metric") for task in moment.tasks}
        goals = self.goals or {}
        gaps = {task: max(0.0, goals.get(task, 1.0) - score) for task, score in scores.items() if score is not None}
        if not any(gaps.values()):
            return by_size
        mean = math.fsum(gaps.values()) / len(gaps)
        wanted = {task: p * gaps.get(task, mean) for task, p in by_size.items()}
        total = math.fsum(wanted.values())
        return {task: (1 - self.least) * wanted[task] / total + self.least * p for task, p in by_size.items()}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `headroom`."""
    return {"headroom": Headroom}

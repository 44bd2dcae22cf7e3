"""`stch`: a smooth maximum of the losses, in which the worst task counts most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import EmomtlError, Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.task_names import unknown_tasks
from emomtl_plugins.weightings.weighted_sum import step_losses, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SmoothTchebycheff(Weighting):
    """L = mu log sum_t exp(lambda_t (L_t − z_t) / mu).

    STCH (Lin et al., 2024; arXiv:2402.19078). w_t = lambda_t softmax(lambda (L − z) / mu)_t. `mu`
    smooths the maximum: the smaller it is, the more of the weight the worst task has. `preferences`
    are the lambda_t by task, scaled to sum to 1; left out, all are 1/T, and a task that is not
    named has 1 before the scaling. `ideal` are the z_t, the least loss that each task could reach,
    0 unless named.

    Departures: `total = "tasks"`, the default, multiplies the loss by T^2, so that with equal
    preferences the weights sum to T and not to 1/T (`"one"` is the paper's). Losses are compared on
    the scale of `train.loss_scale`, of which "base-rate" makes them comparable; LibMTL compares
    their logarithms, after some epochs of the plain sum.
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    mu: Annotated[float, Gt(0)] = 0.1
    preferences: Mapping[str, Annotated[float, Gt(0)]] | None = None
    ideal: Mapping[str, Annotated[float, Ge(0)]] | None = None
    total: Literal["one", "tasks"] = "tasks"

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        for option, numbers in (("preferences", self.preferences), ("ideal", self.ideal)):
            problems = unknown_tasks(numbers or {}, tasks)
            for task, number in (numbers or {}).items():
                if not math.isfinite(number):
                    problems.append(f"{task!r} has the number {number}")
            if problems:
                remedy = "name tasks of the run, each with a finite number"
                raise EmomtlError(*problems, place=f"weighting.{option}", remedy=remedy)

    def combine(
        self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        known = step_losses(losses, moment)
        preferences, ideal = self.preferences or {}, self.ideal or {}
        total_preference = sum(preferences.get(task, 1.0) for task in known)
        lambdas = {task: preferences.get(task, 1.0) / total_preference for task in known}
        # w_t = dL/dL_t = lambda_t softmax_t(lambda_u (L_u - z_u) / mu)
        gaps = [lambdas[task] * (loss - ideal.get(task, 0.0)) for task, loss in known.items()]
        shares = torch.softmax(torch.stack(gaps) / self.mu, dim=0).unbind()
        scale = float(len(known) ** 2) if self.total == "tasks" else 1.0
        weights = {}
        for task, share in zip(known, shares, strict=True):
            weights[task] = scale * lambdas[task] * share
        return weighted_sum(losses, weights)


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    return {"stch": SmoothTchebycheff}

"""A smooth maximum of the losses: the worst task counts most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from emomtl import EmomtlError, Moment, TaskFacts, Weighting, hookimpl
from emomtl_plugins.task_names import unknown_tasks
from emomtl_plugins.weightings.step_losses import step_losses
from emomtl_plugins.weightings.weighted_sum import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SmoothTchebycheff(Weighting):
    """L = mu log sum_t exp(lambda_t (L_t − z_t) / mu): STCH (Lin et al., 2024; arXiv:2402.19078).

    w_t = lambda_t softmax(lambda (L − z) / mu)_t. `mu` smooths the maximum: the smaller, the more the worst task has it all.
    `preferences` are the lambda_t by task, which are scaled to sum to 1; left out, all are 1/T; a task that is not named has
    1 before the scaling. `ideal` are the z_t, the least loss that each task could reach, 0 unless named.

    Departures: `total = "tasks"`, the default, multiplies the loss by T^2, so that with equal preferences the weights sum to T
    and not to 1/T (`"one"` is the paper's); losses are compared on the run's scale (`train.loss_scale`), of which "base-rate"
    makes them comparable (LibMTL compares logarithms, after some epochs of their plain sum).
    """

    joint: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    mu: Annotated[float, Gt(0)] = 0.1
    preferences: Mapping[str, Annotated[float, Gt(0)]] | None = None
    ideal: Mapping[str, Annotated[float, Ge(0)]] | None = None
    total: Literal["one", "tasks"] = "tasks"

    def check(self, tasks: Mapping[str, TaskFacts]) -> None:
        """Raise `EmomtlError` where a name is unknown or a number not finite."""
        for place, given in (("preferences", self.preferences or {}), ("ideal", self.ideal or {})):
            found = unknown_tasks(given, tasks)
            found += [f"{task!r} has the number {value}" for task, value in given.items() if not math.isfinite(value)]
            if found:
                raise EmomtlError(*found, place=f"weighting.{place}", remedy="name tasks of the run, each with a finite number")

    def combine(self, state: nn.Module, losses: Mapping[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses by their weights in the gradient of the formula, and the weights."""
        import torch

        known = step_losses(losses, moment)
        wanted = {task: (self.preferences or {}).get(task, 1.0) for task in known}
        size = sum(wanted.values())
        parts = {task: preference / size for task, preference in wanted.items()}
        ideal = self.ideal or {}
        above = torch.stack([parts[task] * (loss - ideal.get(task, 0.0)) for task, loss in known.items()])
        shares = torch.softmax(above / self.mu, dim=0).unbind()
        scale = float(len(known) ** 2) if self.total == "tasks" else 1.0
        return weighted_sum(losses, {task: scale * parts[task] * share for task, share in zip(known, shares, strict=True)})


@hookimpl
def emomtl_weightings() -> dict[str, type[Weighting]]:
    """Offer `stch`."""
    return {"stch": SmoothTchebycheff}

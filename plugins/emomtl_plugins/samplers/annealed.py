"""`annealed`: sampling that starts in proportion to size and ends nearly even."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from emomtl import EmomtlError, Moment, Sampler, hookimpl
from emomtl_plugins.samplers.power import power_law

LEAST_PASSES = 0.99
"""A run of one pass may lack a part of its last step."""


@dataclass(frozen=True)
class Annealed(Sampler):
    """p_i ∝ n_i^alpha with alpha = 1 − 0.8 (e − 1)/(E − 1) in epoch e = 1..E.

    Stickland & Murray (2019), arXiv:1902.02671. `start` and `end` are the first and the last alpha
    (paper: 1 and 0.2). With `by = "epoch"` alpha falls once an epoch, as in the paper. E is the
    number of whole epochs: 2.0006 passes are 2, and what follows them has the last alpha. With
    E = 1 alpha stays at `start`; a run of less than one pass is refused.

    Departure: with `by = "progress"`, the default, alpha falls in a straight line over the run,
    alpha = start + (end − start) progress, which needs no number of epochs.
    """

    start: Annotated[float, Ge(0), Le(1)] = 1.0
    end: Annotated[float, Ge(0), Le(1)] = 0.2
    by: Literal["progress", "epoch"] = "progress"

    def alpha(self, moment: Moment) -> float:
        """The exponent at this moment; an epoch past the last counts as the last."""
        if self.by == "progress":
            progress = moment.progress
        elif moment.epochs <= 1:
            progress = 0.0
        else:
            # (e - 1)/(E - 1) of the paper, with e - 1 = moment.epoch, which counts from 0.
            progress = min(moment.epoch, moment.epochs - 1) / (moment.epochs - 1)
        return self.start + (self.end - self.start) * progress

    def check_length(self, passes: float) -> None:
        if self.by == "epoch" and passes < LEAST_PASSES:
            problem = f"the run is {passes:.2f} passes long, and alpha changes after a whole pass"
            remedy = 'a longer run (2 passes or more), fewer rows (`limit`), or by = "progress"'
            raise EmomtlError(problem, place="sampler.by", remedy=remedy)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        return power_law(moment.sizes, self.alpha(moment))


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {"annealed": Annealed}

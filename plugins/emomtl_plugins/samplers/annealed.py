"""Sampling that starts in proportion to size and ends nearly even."""

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
    """p_i ∝ n_i^alpha with alpha = 1 − 0.8 (e − 1)/(E − 1) in epoch e = 1..E (Stickland & Murray, 2019; arXiv:1902.02671).

    The authors' code counts epochs from 0, as `moment.epoch` does: alpha = 1 − 0.8 epoch/(E − 1), the same numbers.
    `start` and `end` are the first and the last alpha (paper: 1 and 0.2). With `by = "epoch"` alpha falls in the paper's steps.
    E is the number of whole epochs: 2.0006 passes are 2, and the rest of a broken pass has the last alpha. With E = 1 alpha
    stays at `start`; a run under one pass has no epoch to go by, and is refused. By default (`by = "progress"`) it falls in a
    straight line over the run, which departs from the paper and needs no number of epochs: alpha = start + (end − start)
    progress.
    """

    start: Annotated[float, Ge(0), Le(1)] = 1.0
    end: Annotated[float, Ge(0), Le(1)] = 0.2
    by: Literal["progress", "epoch"] = "progress"

    def alpha(self, moment: Moment) -> float:
        """The exponent of this moment; an epoch past the last counts as the last."""
        if self.by == "progress":
            done = moment.progress
        elif moment.epochs <= 1:
            done = 0.0
        else:
            done = min(moment.epoch, moment.epochs - 1) / (moment.epochs - 1)
        return self.start + (self.end - self.start) * done

    def check_length(self, passes: float) -> None:
        """Refuse to go by epochs where not even one is whole."""
        if self.by == "epoch" and passes < LEAST_PASSES:
            found = f"the run is {passes:.2f} passes long, and alpha falls from one whole pass to the next"
            remedy = 'a longer run (2 passes or more), fewer rows (`limit`), or by = "progress"'
            raise EmomtlError(found, place="sampler.by", remedy=remedy)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The power law with this moment's alpha."""
        return power_law(moment.sizes, self.alpha(moment))


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `annealed`."""
    return {"annealed": Annealed}

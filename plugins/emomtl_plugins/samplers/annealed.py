"""Sampling that starts in proportion to size and ends nearly even."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from emomtl import Moment, Sampler, hookimpl
from emomtl_plugins.samplers.power import power_law


@dataclass(frozen=True)
class Annealed(Sampler):
    """p_i ∝ n_i^alpha with alpha = 1 − 0.8 (e − 1)/(E − 1) in epoch e = 1..E (Stickland & Murray, 2019; arXiv:1902.02671).

    The authors' code counts epochs from 0, as `moment.epoch` does: alpha = 1 − 0.8 epoch/(E − 1), the same numbers.
    `start` and `end` are the first and the last alpha (paper: 1 and 0.2). With `by = "epoch"` alpha falls in the paper's steps,
    and with E = 1 it stays at `start`. By default (`by = "progress"`) it falls in a straight line over the run, which
    departs from the paper and needs no number of epochs: alpha = start + (end − start) progress.
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

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """The power law with this moment's alpha."""
        return power_law(moment.sizes, self.alpha(moment))


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `annealed`."""
    return {"annealed": Annealed}

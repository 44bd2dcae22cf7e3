"""Sampling in turn: one task after the other, in the manifest's order."""

from __future__ import annotations

from dataclasses import dataclass

from emomtl import Moment, Sampler, hookimpl


@dataclass(frozen=True)
class RoundRobin(Sampler):
    """p is 1 for the task number step mod T and 0 for the others; after the last task comes the first again.

    Small tasks are read anew as often as it takes: no task ends the round. Where every task is in every step
    (`moment.joint`) there is no turn to take, and p is uniform.
    """

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """One task with probability 1, or 1/T each where the tasks are trained jointly."""
        tasks = moment.tasks
        if moment.joint:
            return dict.fromkeys(tasks, 1 / len(tasks))
        turn = moment.step % len(tasks)
        return {task: float(place == turn) for place, task in enumerate(tasks)}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    """Offer `round-robin`."""
    return {"round-robin": RoundRobin}

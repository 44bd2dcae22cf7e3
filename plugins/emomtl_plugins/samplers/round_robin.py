"""`round-robin`: the tasks take turns, in the manifest's order."""

from __future__ import annotations

from dataclasses import dataclass

from emomtl import Moment, Sampler, hookimpl


@dataclass(frozen=True)
class RoundRobin(Sampler):
    """p is 1 for the task number step mod T, and 0 for the others.

    Small tasks are read again as often as needed: no task ends the round. Where every step trains
    all tasks (`moment.joint`), p is uniform.
    """

    def probabilities(self, moment: Moment) -> dict[str, float]:
        tasks = moment.tasks
        if moment.joint:
            return dict.fromkeys(tasks, 1 / len(tasks))
        turn = moment.step % len(tasks)
        return {task: float(position == turn) for position, task in enumerate(tasks)}


@hookimpl
def emomtl_samplers() -> dict[str, type[Sampler]]:
    return {"round-robin": RoundRobin}

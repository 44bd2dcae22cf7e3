"""What a run will do, before it does: steps, updates, examples and passes of each task."""

from __future__ import annotations

from typing import Any

from emomtl.compose import Plan
from emomtl.data.corpus import TaskData
from emomtl.sampling import Moment
from emomtl.train.length import Length, batch_sizes

GRID = 200
"""Points of progress at which the sampler is asked."""


def forecast(plan: Plan, data: TaskData) -> dict[str, Any]:
    """Expected steps and, per task, rows, labels, updates, share of updates, examples and passes.

    The sampler is asked along the run with the sizes alone; one that looks at losses or scores will differ.
    """
    manifest, sizes, batches = plan.manifest, data.sizes, batch_sizes(plan.manifest)
    joint = manifest.sampler.per_step == "all"
    length = Length.of(manifest.train, sizes, batches, joint)
    updates = dict.fromkeys(sizes, 0.0)
    examples = dict.fromkeys(sizes, 0.0)
    steps = 0.0
    fixed = {name for name, table in manifest.tasks.items() if table.batch_size} if joint else set()
    for point in range(GRID):
        progress = (point + 0.5) / GRID
        at = round(progress * length.total)
        moment = Moment(at, progress, length.epoch(progress), length.whole_epochs, sizes, joint=joint, seed=manifest.seed)
        shares = _over_a_cycle(plan, moment)
        here = length.total / GRID
        if length.target is not None and not joint:
            here /= max(shares[length.target], 1e-9)
        steps += here
        free = sum(p for task, p in shares.items() if task not in fixed) or 1.0
        pool = sum(batches[task] for task in sizes if task not in fixed)
        for task, p in shares.items():
            updates[task] += here if joint else here * p
            each = batches[task] if not joint or task in fixed else max(1.0, pool * p / free)
            examples[task] += here * each * (1 if joint else p)
    total = sum(updates.values())
    tasks = {
        task: {
            "rows": sizes[task],
            "labels": len(plan.tasks[task].head.outputs(data.taxonomies[task])),
            "updates": round(updates[task]),
            "share of updates": updates[task] / total,
            "examples": round(examples[task]),
            "passes": examples[task] / sizes[task],
        }
        for task in sizes
    }
    return {"run": manifest.name, "steps": round(steps), "epochs": length.epochs, "tasks": tasks}


def _over_a_cycle(plan: Plan, moment: Moment) -> dict[str, float]:
    """The sampler's mean probabilities over as many steps as there are tasks, so that a cycle counts whole."""
    from dataclasses import replace

    found = dict.fromkeys(moment.sizes, 0.0)
    for offset in range(len(found)):
        given = plan.sampler.probabilities(replace(moment, step=moment.step + offset))
        total = sum(given.values())
        for task in found:
            found[task] += given.get(task, 0.0) / total / len(found)
    return found

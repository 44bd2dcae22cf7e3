"""The runs of a plan with stages: their order, their folders, and how each starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.compose.plan import Plan, Start
from emomtl.manifest import StartTable
from emomtl.run import is_run


def plans(plan: Plan) -> list[Plan]:
    """The plans of all stages in order, the last one being the plan itself."""
    ordered = [plan]
    while ordered[0].before is not None:
        ordered.insert(0, ordered[0].before.plan)
    return ordered


def stages(plan: Plan, folder: Path) -> list[tuple[Plan, Path]]:
    """The plans of all stages in order, each with its run's folder.

    `folder` is the last one's; those of earlier stages lie beside it. Each but the first starts
    from the run before, and its manifest says so.
    """
    ordered, home = plans(plan), folder.absolute()
    folders = []
    for following in ordered[1:]:
        assert following.before is not None
        folders.append(home.with_name(f"{home.name}-{following.before.stage}"))
    folders.append(folder)
    started = [ordered[0]]
    for following, earlier in zip(ordered[1:], folders, strict=False):
        started.append(_starting_from(following, earlier))
    return list(zip(started, folders, strict=True))


def _starting_from(plan: Plan, earlier: Path) -> Plan:
    """A plan that starts from the run in a folder, which has been made when it begins."""
    assert plan.before is not None
    checkpoint, heads = plan.before.checkpoint, plan.before.heads
    content = {"run": str(earlier), "checkpoint": checkpoint, "heads": heads}
    table = StartTable.model_validate(content)
    return replace(
        plan,
        manifest=plan.manifest.model_copy(update={"pretrain": None, "start": table}),
        before=None,
        start=Start(earlier, checkpoint, heads),
        encoder=replace(plan.encoder, where=str(earlier / "encoder")),
    )


def remaining(stages: Sequence[tuple[Plan, Path]]) -> list[tuple[Plan, Path]]:
    """What a resume has to do: the last stage that has begun, and all after it."""
    begun = [number for number, (_, folder) in enumerate(stages) if is_run(folder)]
    return list(stages[begun[-1] if begun else 0 :])


def updates_over_stages(plan: Plan, target: str) -> int | None:
    """The updates of a task in all stages; None where one that trains it has another length."""
    total = 0
    for stage in plans(plan):
        if target not in stage.tasks:
            continue
        train = stage.manifest.train
        if train.target != target or train.target_updates is None:
            return None
        total += train.target_updates
    return total

"""Tasks that stop on their own: one that gains nothing more on validation is trained no more, and the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl.contracts.sampler import Moment

if TYPE_CHECKING:
    from emomtl.metrics.scoring import TaskScores
    from emomtl.train.session import Session


def stop_tasks(session: Session, found: Mapping[str, TaskScores]) -> list[str]:
    """Stop the tasks that have had `patience` evaluations without gain; gives why the whole run is to stop, if it is.

    A task's gain is one in its head's main metric. An undefined metric is no gain, and neither is an equal one.
    """
    state, tables = session.state, session.plan.manifest.tasks
    stopping = []
    for task, bound in session.plan.tasks.items():
        patience = tables[task].patience
        if not patience or task in state.stopped_tasks:
            continue
        skill = bound.head.skill(found[task].metrics) if task in found else None
        best = state.task_best.get(task)
        if skill is not None and (best is None or skill > best):
            state.task_best[task], state.task_stale[task] = skill, 0
            continue
        state.task_stale[task] = state.task_stale.get(task, 0) + 1
        if state.task_stale[task] >= patience:
            state.stopped_tasks[task] = state.step
            stopping.append(task)
            _tell(session, task, f"{task}/{bound.head.main_metric} has not improved in {patience} evaluation(s)")
    return _reasons(session, stopping) if stopping else []


def _tell(session: Session, task: str, reason: str) -> None:
    """Write down when and why a task stopped, and say it."""
    step = session.state.step
    session.run.log_event("task_stopped", step=step, task=task, reason=reason)
    line = f"{task} is trained no more from step {step:,} on: {reason}"
    session.run.log(line)
    session.display.note(line)


def _reasons(session: Session, stopping: list[str]) -> list[str]:
    """Why a run ends with the tasks that stop now: none is left, its length counts updates of one, or no other is drawn."""
    state, target = session.state, session.length.target
    left = [task for task in session.plan.tasks if task not in state.stopped_tasks]
    if not left:
        return ["every task has stopped improving"]
    if target in stopping:
        return [f"{target}, whose updates are the run's length, has stopped improving"]
    if not _drawn(session, left):
        return [f"the sampler never draws what is still trained ({', '.join(left)})"]
    return []


def _drawn(session: Session, left: list[str]) -> bool:
    """Whether the sampler gives any task that is left a probability, within a round over them."""
    sizes = {task: session.data.sizes[task] for task in left}
    progress = session.length.progress(session.state)
    epoch, epochs = session.length.passed(progress), session.length.passes
    joint, seed = session.feeder.joint, session.plan.manifest.seed
    for offset in range(len(left)):
        moment = Moment(session.state.step + offset, progress, epoch, epochs, sizes, joint=joint, seed=seed)
        if any(session.plan.sampler.probabilities(moment).values()):
            return True
    return False

"""Tasks with a `patience`: one that no longer improves on validation is no longer trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl.contracts.sampler import Moment

if TYPE_CHECKING:
    from emomtl.metrics.scoring import TaskScores
    from emomtl.train.session import Session


def stop_tasks(session: Session, scores: Mapping[str, TaskScores]) -> list[str]:
    """Stop the tasks that have had `patience` evaluations without a gain in their main metric.

    An undefined metric is no gain, nor is an equal one. Returns reasons to stop the whole run.
    """
    state = session.state
    stopping = []
    for task, bound in session.plan.tasks.items():
        patience = bound.table.patience
        if not patience or task in state.stopped_tasks:
            continue
        skill = bound.head.skill(scores[task].metrics) if task in scores else None
        best = state.task_best.get(task)
        if skill is not None and (best is None or skill > best):
            state.task_best[task], state.task_stale[task] = skill, 0
            continue
        state.task_stale[task] = state.task_stale.get(task, 0) + 1
        if state.task_stale[task] >= patience:
            state.stopped_tasks[task] = state.step
            stopping.append(task)
            metric = f"{task}/{bound.head.main_metric}"
            reason = f"{metric} has not improved in {patience} evaluation(s)"
            session.run.log_event("task_stopped", step=state.step, task=task, reason=reason)
            line = f"{task} is trained no more from step {state.step:,} on: {reason}"
            session.reporter.note(line)
    return _reasons_to_end(session, stopping) if stopping else []


def _reasons_to_end(session: Session, stopping: list[str]) -> list[str]:
    """Why the run ends with the tasks that stop now, if it does."""
    stopped, target = session.state.stopped_tasks, session.length.target
    remaining = [task for task in session.plan.tasks if task not in stopped]
    if not remaining:
        return ["every task has stopped improving"]
    if target in stopping:
        return [f"{target}, whose updates are the run's length, has stopped improving"]
    if not _are_drawn(session, remaining):
        return [f"the sampler never draws what is still trained ({', '.join(remaining)})"]
    return []


def _are_drawn(session: Session, tasks: list[str]) -> bool:
    """Whether the sampler gives any of the tasks a probability, within one round over them."""
    length, step = session.length, session.state.step
    progress = length.progress(session.state)
    for offset in range(len(tasks)):
        moment = Moment(
            step + offset,
            progress,
            length.passed(progress),
            length.passes,
            sizes={task: session.data.sizes[task] for task in tasks},
            joint=session.feeder.joint,
            seed=session.plan.manifest.seed,
        )
        if any(session.plan.sampler.probabilities(moment).values()):
            return True
    return False

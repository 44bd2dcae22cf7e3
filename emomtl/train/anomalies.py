"""Numbers that go wrong in a step: a loss or gradient that is not finite, a weight without bound, a loss that stands still."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emomtl.contracts.weighting import LARGE
from emomtl.errors import EmomtlError, Problem
from emomtl.run import find_checkpoint

if TYPE_CHECKING:
    from emomtl.run import Run
    from emomtl.train.session import Session
    from emomtl.train.step_record import Step

STILL = 3
"""Lines of the log in a row with the very same mean loss of a task, after which it is said."""


def not_finite(session: Session, done: Step) -> None:
    """Stop, or count and go on, where a loss or gradient of a step was not finite; the weights were not touched by it."""
    state, drawing, step = session.state, done.drawing, done.moment.step + 1
    wrong = [task for task, loss in done.losses.items() if not bool(torch.isfinite(loss))]
    unbound = [task for task, weight in done.weights.items() if not math.isfinite(float(weight))]
    if wrong:
        what = f"the loss of {', '.join(wrong)}"
    else:
        what = f"the weight that the weighting gives {', '.join(unbound)}" if unbound else "the gradient"
    rows = {stream: [int(row) for row in rows[:8]] for stream, rows in drawing.rows.items()}
    tasks = ", ".join(task for task, n in drawing.examples.items() if n)
    found = f"{what} is not finite at step {step} (on {tasks}; batch {drawing.fingerprint}, first rows {rows})"
    if session.plan.manifest.train.on_nonfinite == "stop":
        remedy = f'{last_good(session.run)}; lower train.lr, look at the rows, or train.on_nonfinite = "skip"'
        raise EmomtlError(Problem(", ".join(wrong) or "train", found, remedy))
    state.skipped += 1
    session.run.log_event("skipped", step=step, tasks=wrong, rows=rows, batch=drawing.fingerprint)
    session.display.note(f"skipped: {found}")


def last_good(run: Run) -> str:
    """Which checkpoint a run that stops has to go on from, in words."""
    try:
        return f"the last checkpoint is good: {find_checkpoint(run, 'last').resolve().name}"
    except EmomtlError:
        return "no checkpoint was written yet"


def finite_weights(session: Session, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The weights of a step that are finite, for the log; one that has grown beyond all others is warned of once."""
    found = {task: float(weight) for task, weight in weights.items()}
    for task, weight in found.items():
        if LARGE < abs(weight) < math.inf:
            line = (
                f"{task}: the weighting gives it the weight {weight:,.6g} at step {session.state.step}, so no other task counts"
            )
            session.warn_once(
                f"weight of {task}",
                f"{line} (is its loss constant or near 0? lower train.weighting_lr, or use another weighting)",
            )
    return {task: weight for task, weight in found.items() if math.isfinite(weight)}


def watch_losses(session: Session, losses: Mapping[str, float]) -> None:
    """Warn once of a task whose mean loss is the very same in several lines of the log: nothing is learned from it."""
    for task, loss in losses.items():
        before, times = session.unchanged_losses.get(task, (math.nan, 0))
        session.unchanged_losses[task] = (loss, times + 1 if loss == before else 1)
        if session.unchanged_losses[task][1] == STILL:
            line = f"{task}: its loss has been exactly {loss:.6g} in {STILL} lines of the log: the run learns nothing from it"
            session.warn_once(f"loss of {task}", f"{line} (are all of its rows alike, or is its `weight` 0?)")

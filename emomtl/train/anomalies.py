"""Numbers that go wrong: losses that are not finite or stand still, weights without bound."""

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
    from emomtl.train.display import Reporter
    from emomtl.train.session import Session, Step

SAME_IN_A_ROW = 3
"""Lines of the log with exactly the same mean loss of a task, after which there is a warning."""

SHOWN_ROWS = 8


def not_finite(session: Session, step: Step) -> None:
    """Count a step whose loss or gradient was not finite, or raise EmomtlError.

    `train.on_nonfinite` decides which. The step has not changed the weights.
    """
    state, drawing, number = session.state, step.drawing, step.moment.step + 1
    wrong = [task for task, loss in step.losses.items() if not torch.isfinite(loss)]
    weights = {task: float(weight) for task, weight in step.weights.items()}
    unbound = [task for task, weight in weights.items() if not math.isfinite(weight)]
    if wrong:
        what = f"the loss of {', '.join(wrong)}"
    elif unbound:
        what = f"the weight that the weighting gives {', '.join(unbound)}"
    else:
        what = "the gradient"
    first_rows = {stream: rows[:SHOWN_ROWS].tolist() for stream, rows in drawing.rows.items()}
    tasks = ", ".join(task for task, examples in drawing.examples.items() if examples)
    batch = drawing.fingerprint
    finding = (
        f"{what} is not finite at step {number} "
        f"(on {tasks}; batch {batch}, first rows {first_rows})"
    )
    if session.plan.manifest.train.on_nonfinite == "stop":
        ways = 'lower train.lr, look at the rows, or train.on_nonfinite = "skip"'
        remedy = f"{last_good(session.run)}; {ways}"
        raise EmomtlError(Problem(", ".join(wrong) or "train", finding, remedy))
    state.skipped += 1
    session.run.log_event("skipped", step=number, tasks=wrong, rows=first_rows, batch=batch)
    session.reporter.display.note(f"skipped: {finding}")


def last_good(run: Run) -> str:
    """A sentence on the checkpoint from which a run that stops can go on."""
    try:
        return f"the last checkpoint is good: {find_checkpoint(run, 'last').resolve().name}"
    except EmomtlError:
        return "no checkpoint was written yet"


def finite_weights(
    weights: Mapping[str, Tensor], step: int, reporter: Reporter
) -> dict[str, float]:
    """The weights of a step that are finite; warns once of one that dwarfs all others."""
    finite = {}
    for task, tensor in weights.items():
        weight = float(tensor)
        if not math.isfinite(weight):
            continue
        finite[task] = weight
        if abs(weight) > LARGE:
            reporter.warn_once(
                f"weight of {task}",
                f"{task}: the weighting gives it the weight {weight:,.6g} at step {step}, so no "
                "other task counts (is its loss constant or near 0? lower train.weighting_lr, or "
                "use another weighting)",
            )
    return finite


class ConstantLossWarning:
    """Warns of a task whose mean loss is exactly the same in several lines of the log."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._last: dict[str, tuple[float, int]] = {}

    def watch(self, losses: Mapping[str, float]) -> None:
        """Take in the mean losses of one line of the log."""
        for task, loss in losses.items():
            before, times = self._last.get(task, (math.nan, 0))
            times = times + 1 if loss == before else 1
            self._last[task] = (loss, times)
            if times == SAME_IN_A_ROW:
                self._reporter.warn_once(
                    f"loss of {task}",
                    f"{task}: its loss has been exactly {loss:.6g} in {times} lines of the log: "
                    "the run learns nothing from it (are all of its rows alike, or is its "
                    "`weight` 0?)",
                )

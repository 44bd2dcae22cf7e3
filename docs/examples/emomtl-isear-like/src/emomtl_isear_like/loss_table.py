"""A listener that writes the losses of a run into a table, `losses.csv` in the run's folder, for a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl import hookimpl

if TYPE_CHECKING:
    from emomtl.run import Run

NAME = "losses.csv"


def _add(run: Run, step: int, losses: Mapping[str, float]) -> None:
    with (run.folder / NAME).open("a", encoding="utf-8") as table:
        table.writelines(f"{step},{task},{loss:.6g}\n" for task, loss in losses.items())


@hookimpl
def emomtl_started(run: Run) -> None:
    """Begin the table; a run that goes on after a break finds in its events what it has logged so far."""
    (run.folder / NAME).write_text("step,task,loss\n", encoding="utf-8")
    for event in run.events():
        if event["event"] == "step":
            _add(run, event["step"], event["losses"])


@hookimpl
def emomtl_stepped(run: Run, step: int, losses: Mapping[str, float]) -> None:
    """Add a line for each task."""
    _add(run, step, losses)


@hookimpl
def emomtl_evaluated(run: Run, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Note in the run's log which task is done worst."""
    worst = min(scores, key=lambda task: scores[task].get("macro_f1", 0.0))
    run.log(f"step {step}: {worst} is done worst")


@hookimpl
def emomtl_checkpointed(run: Run, path: Path) -> None:
    """Note in the run's log up to which checkpoint the table can be trusted."""
    run.log(f"{NAME} is complete up to {path.name}")


@hookimpl
def emomtl_finished(run: Run, error: str | None) -> None:
    """Note in the run's log where the table lies, and whether it is whole."""
    run.log(f"losses by step: {run.folder / NAME}{f' (incomplete: {error})' if error else ''}")

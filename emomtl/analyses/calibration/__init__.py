"""`emomtl analyse calibration`: what a run's probabilities and thresholds are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.runs import CHECKPOINT, option
from emomtl.contracts.analysis import Analysis, Picture, Result
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.analyses.calibration.examine import Predicted
    from emomtl.analyses.runs import RunFolder, RunFolders
    from emomtl.inference.opened import OpenedRun


@dataclass(frozen=True)
class CalibrationAnalysis(Analysis):
    """Thresholds and probabilities of one run: tuned on validation, cross-fitted, and on test where
    `eval` has scored it.
    """

    task: tuple[str, ...] = option((), "Only this task; may be repeated.")
    checkpoint: str = option("best", CHECKPOINT)

    def run(self, runs: RunFolders) -> Result:
        """Examine each task with labels; EmomtlError for more than one run."""
        from emomtl.analyses.calibration.examine import examine, tables
        from emomtl.analyses.calibration.reliability import reliability_figure

        if len(runs) != 1:
            raise EmomtlError(Problem("RUN", f"{len(runs)} runs are given", "give one"))
        run = next(iter(runs))
        opened = run.opened(self.checkpoint)
        examined, notes, pictures = [], [], []
        for name, bound in opened.tasks(self.task).items():
            if bound.head.answers != "labels" or not bound.head.outputs(bound.taxonomy):
                notes.append(f"{name} answers with numbers: there is nothing to calibrate")
                continue
            predicted = self._predicted(run, opened, name)
            task = examine(name, bound.head, bound.taxonomy, predicted)
            figure = reliability_figure(name, task.rows, task.reliabilities)
            pictures.append(Picture(f"Reliability of {name}", f"reliability-{name}", figure))
            examined.append(task)
        return Result(
            f"Calibration of {opened.run.name}",
            tables(examined),
            pictures,
            notes=notes,
            data={"run": opened.run.name, "tasks": [task.as_json() for task in examined]},
        )

    def _predicted(self, run: RunFolder, opened: OpenedRun, task: str) -> dict[str, Predicted]:
        """What the checkpoint predicts on validation, scored now if it was not kept, and on test.

        Test is never scored here: each look at it must be asked for by `emomtl eval`.
        """
        from emomtl.run.predictions import recorded_predictions

        checkpoint = opened.checkpoint.path.name
        if recorded_predictions(opened.run, "validation", checkpoint, task) is None:
            trained = run.trained(self.checkpoint)
            trained.evaluate("validation", [task], run.sources, run.runs.allow_changed)
        kept = {}
        for split in ("validation", "test"):
            predicted = recorded_predictions(opened.run, split, checkpoint, task)
            if predicted is not None:
                kept[split] = predicted
        return kept


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `calibration`."""
    return {"calibration": CalibrationAnalysis}

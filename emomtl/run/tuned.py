"""The thresholds and temperatures of a run (thresholds.json), tuned on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.errors import clean, quoted
from emomtl.metrics.tuning import TaskTuning, fit_task
from emomtl.run.digest import read_sealed, write_sealed
from emomtl.run.predictions import all_recorded_predictions
from emomtl.run.record import only_writer
from emomtl.safety.files import damaged, storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import BoundTask
    from emomtl.contracts.heads import Head
    from emomtl.run.directory import Run

NAME, FORMAT = "thresholds.json", 1


def keep_tunings(run: Run, checkpoint: str, tunings: Mapping[str, TaskTuning]) -> list[str]:
    """Write the tunings of a checkpoint by task; returns the tasks whose tuning is new.

    One that exists already and is of as many rows or more stays.
    """
    if not tunings:
        return []
    path = run.folder / NAME
    with only_writer(path):
        checkpoints = _read(run)
        entry = checkpoints.setdefault(checkpoint, {"split": "validation", "tasks": {}})
        tasks, new = entry["tasks"], []
        for task, tuning in tunings.items():
            if task not in tasks or tasks[task]["rows"] < tuning.rows:
                tasks[task] = tuning.as_json()
                new.append(task)
        if new:
            write_sealed(path, {"format": FORMAT, "checkpoints": checkpoints}, run.identity)
    return new


def tuning_of(
    run: Run, checkpoint: str, task: str, head: Head, labels: Sequence[str] | None = None
) -> TaskTuning | None:
    """The thresholds and the temperature of a task at a checkpoint (a folder's name).

    Those that the run has recorded; else they are tuned here on the checkpoint's predictions of the
    run's own validation rows, of several evaluations on the one with the most rows. None where no
    predictions were kept, and for a head without labels. No other split is looked at. `labels` name
    the labels; without them they are numbered.
    """
    recorded = _read(run).get(checkpoint, {"tasks": {}})["tasks"].get(task)
    if recorded is not None:
        tuning = _parsed(run, recorded)
        if labels is not None and tuning.labels != tuple(labels):
            found = f"the thresholds of '{clean(task)}' are of other labels than the model's"
            raise damaged(run.folder / NAME, found)
        return tuning
    evaluations = list(all_recorded_predictions(run, "validation", checkpoint, task))
    if not evaluations:
        return None
    targets, probabilities = max(evaluations, key=lambda evaluation: len(evaluation[0]))
    columns = probabilities.shape[1]
    names = labels if labels is not None else [str(column) for column in range(columns)]
    if len(names) != columns:
        found = f"the kept predictions of '{clean(task)}' on validation are of {columns} labels"
        raise damaged(run.folder, f"{found}, not of {len(names)}")
    return fit_task(head, names, targets, probabilities)


def fit_tasks(
    tasks: Mapping[str, BoundTask], predictions: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
) -> dict[str, TaskTuning]:
    """The tunings of all tasks that have any, by their targets and probabilities."""
    tunings = {}
    for name, (targets, probabilities) in predictions.items():
        tuning = fit_task(tasks[name].head, tasks[name].outputs, targets, probabilities)
        if tuning is not None:
            tunings[name] = tuning
    return tunings


def _read(run: Run) -> dict[str, Any]:
    """The entries of thresholds.json by checkpoint; empty where there is no such file."""
    path = run.folder / NAME
    with storage(path, "read"):
        if not path.exists():
            return {}
    content = read_sealed(path, run.identity)
    version, checkpoints = content.get("format"), content.get("checkpoints")
    if version != FORMAT:
        raise damaged(path, f"format {quoted(version)}, this emomtl reads format {FORMAT}")
    if not isinstance(checkpoints, dict) or not all(map(_is_entry, checkpoints.values())):
        raise damaged(path, "`checkpoints` does not hold the thresholds of tasks")
    return checkpoints


def _is_entry(entry: object) -> bool:
    tasks = entry.get("tasks") if isinstance(entry, dict) else None
    if not isinstance(tasks, dict):
        return False
    return all(isinstance(task, dict) and type(task.get("rows")) is int for task in tasks.values())


def _parsed(run: Run, recorded: Mapping[str, Any]) -> TaskTuning:
    try:
        return TaskTuning.from_json(recorded)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        found = f"thresholds that cannot be read: {clean(str(error), 200)}"
        raise damaged(run.folder / NAME, found) from error

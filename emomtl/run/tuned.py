"""The thresholds and temperatures that a run keeps (thresholds.json), tuned on what checkpoints answered on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.errors import clean, quoted
from emomtl.metrics.tuning import TaskTuning, fit_task
from emomtl.run.answers import all_kept_answers
from emomtl.run.digest import read_sealed, write_sealed
from emomtl.run.record import only_writer
from emomtl.safety.files import damaged, storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import BoundTask
    from emomtl.contracts.heads import Head
    from emomtl.run.directory import Run

NAME, FORMAT = "thresholds.json", 1


def keep_tunings(run: Run, checkpoint: str, tunings: Mapping[str, TaskTuning]) -> list[str]:
    """Write the tunings of a checkpoint by task, and give the tasks that are new; one of as many rows or more stays."""
    if not tunings:
        return []
    path = run.folder / NAME
    with only_writer(path):
        checkpoints = _read(run)
        tasks = checkpoints.setdefault(checkpoint, {"split": "validation", "tasks": {}})["tasks"]
        new = [task for task, tuning in tunings.items() if task not in tasks or tasks[task]["rows"] < tuning.rows]
        tasks.update({task: tunings[task].as_json() for task in new})
        if new:
            write_sealed(path, {"format": FORMAT, "checkpoints": checkpoints}, run.identity)
    return new


def tuning_of(run: Run, checkpoint: str, task: str, head: Head, labels: Sequence[str] | None = None) -> TaskTuning | None:
    """The thresholds and the temperature of a task at a checkpoint (a folder's name, such as `step-00000375`).

    They are those that the run keeps; those of a run that keeps none are tuned here on what the checkpoint answered
    on the run's own validation rows, where that was kept: of several evaluations on the one with the most rows. None
    where nothing was kept, and for a head that answers with no labels. No row of another split is ever looked at.
    Who needs no names may leave the `labels` out.
    """
    kept = _read(run).get(checkpoint, {"tasks": {}})["tasks"].get(task)
    if kept is not None:
        tuning = _parsed(run, kept)
        if labels is not None and tuning.labels != tuple(labels):
            raise damaged(run.folder / NAME, f"the thresholds of '{clean(task)}' are of other labels than the model's")
        return tuning
    every = list(all_kept_answers(run, "validation", checkpoint, task))
    if not every:
        return None
    targets, probabilities = max(every, key=lambda one: len(one[0]))
    names = labels if labels is not None else [str(place) for place in range(probabilities.shape[1])]
    if len(names) != probabilities.shape[1]:
        found = f"the kept answers of '{clean(task)}' on validation are of {probabilities.shape[1]} labels, not of {len(names)}"
        raise damaged(run.folder, found)
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
    """What is kept by checkpoint; empty where nothing is."""
    path = run.folder / NAME
    with storage(path, "read"):
        if not path.exists():
            return {}
    found = read_sealed(path, run.identity)
    if found.get("format") != FORMAT:
        raise damaged(path, f"format {quoted(found.get('format'))}, this emomtl reads format {FORMAT}")
    checkpoints = found.get("checkpoints")
    if not isinstance(checkpoints, dict) or not all(map(_is_entry, checkpoints.values())):
        raise damaged(path, "`checkpoints` does not hold the thresholds of tasks")
    return checkpoints


def _is_entry(entry: object) -> bool:
    tasks = entry.get("tasks") if isinstance(entry, dict) else None
    return isinstance(tasks, dict) and all(isinstance(one, dict) and type(one.get("rows")) is int for one in tasks.values())


def _parsed(run: Run, kept: Mapping[str, Any]) -> TaskTuning:
    try:
        return TaskTuning.from_json(kept)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged(run.folder / NAME, f"thresholds that cannot be read: {clean(str(error), 200)}") from error

"""The probabilities from which labels are predicted: the heads' own, tuned, or given ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.metrics.tuning import WRITTEN
from emomtl.safety.files import read_bytes
from emomtl.safety.untrusted import loads

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.opened import OpenedRun

Thresholds = Mapping[str, tuple[float, ...]]
"""By task a threshold for each of its labels, in their order."""

FIXED = "fixed"
FORM = 'such as {"goemotions": 0.3} or {"goemotions": {"joy": 0.4, ...}}'


def chosen_thresholds(
    choice: str, opened: OpenedRun, tasks: Mapping[str, BoundTask]
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """The thresholds that a choice means for these tasks, and a note for each task.

    A choice is `fixed` (the heads' own, so none are given), `tuned`, `tuned-by-label`, a number,
    or the name of a JSON file.
    """
    if choice == FIXED:
        return {}, []
    with_thresholds = {name: bound for name, bound in tasks.items() if bound.head.by_thresholds}
    if not with_thresholds:
        finding = f"{', '.join(tasks)}: no task here answers its labels by thresholds"
        raise _error(finding, "leave it out; multi-label heads do")
    if choice in WRITTEN:
        return _tuned(choice, opened, with_thresholds)
    thresholds: dict[str, tuple[float, ...]] = {}
    notes: list[str] = []
    try:
        number = float(choice)
    except ValueError:
        by_task = _read(choice, opened)
        for name, bound in with_thresholds.items():
            thresholds[name] = _of_task(choice, name, bound, by_task.get(name))
            span, source = _span(thresholds[name]), clean(choice, 200)
            notes.append(f"{name}: labels are answered from {span}, as {source} says")
    else:
        value = _threshold(number, f"'{clean(choice)}'")
        for name, bound in with_thresholds.items():
            thresholds[name] = (value,) * len(bound.outputs)
            notes.append(f"{name}: labels are answered from {value:g}")
    return thresholds, notes


def _tuned(
    choice: str, opened: OpenedRun, tasks: Mapping[str, BoundTask]
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """The thresholds that were tuned on validation for the opened checkpoint."""
    tunings = opened.tunings(tasks)
    missing = [name for name in tasks if name not in tunings]
    if missing:
        run, checkpoint = clean(str(opened.run.folder), 300), opened.checkpoint.step
        finding = f"{', '.join(missing)}: the run has no tuned thresholds for this checkpoint"
        remedy = f"`emomtl eval {run} --split validation --checkpoint {checkpoint}` tunes them"
        raise _error(finding, remedy)
    thresholds: dict[str, tuple[float, ...]] = {}
    notes: list[str] = []
    for name, tuning in tunings.items():
        tuned = tuning.thresholds[WRITTEN[choice]]
        thresholds[name] = tuned.values
        note = f"{name}: labels are answered from {_span(tuned.values)}"
        note += f", tuned on {tuning.rows:,} validation rows"
        if tuned.shared:
            note += f"; {len(tuned.shared)} label(s) with few positive rows take the one for all"
        notes.append(note)
    return thresholds, notes


def _read(choice: str, opened: OpenedRun) -> Mapping[str, Any]:
    """The thresholds of a JSON file by task; tasks are those of the run."""
    if not choice.endswith(".json"):
        remedy = "fixed, tuned, tuned-by-label, a number such as 0.3, or a .json file"
        raise _error(f"'{clean(choice, 200)}' is not known", remedy)
    try:
        by_task = loads(read_bytes(Path(choice)))
    except ValueError as error:
        raise _error(f"not JSON: {clean(str(error), 200)}", FORM, choice) from error
    if not isinstance(by_task, Mapping):
        kind = type(by_task).__name__
        raise _error(f"a JSON object was expected, found {kind}", FORM, choice)
    for name in by_task:
        if name not in opened.plan.tasks:
            finding = f"{clean(choice, 200)}: '{clean(name)}' is no task of this run"
            raise _error(finding, suggest(name, opened.plan.tasks))
    return by_task


def _of_task(path: str, task: str, bound: BoundTask, value: Any) -> tuple[float, ...]:
    """What a file gives for one task: a number for all labels, or one for each of them."""
    labels, place = bound.outputs, f"{clean(path, 200)}: '{clean(task)}'"
    if value is None:
        remedy = f"add it, {FORM}, or choose other tasks with --task"
        raise _error(f"{place} is missing, and answers by thresholds", remedy)
    if not isinstance(value, Mapping):
        return (_threshold(value, place),) * len(labels)
    for label in value:
        if label not in labels:
            raise _error(f"{place} has no label '{clean(label)}'", suggest(label, labels))
    missing = [clean(label, 40) for label in labels if label not in value]
    if missing:
        listed = ", ".join(missing[:8])
        finding = f"{place}: no threshold for {len(missing)} label(s): {listed}"
        raise _error(finding, "give all of them")
    return tuple(_threshold(value[label], f"{place}, '{clean(label)}'") for label in labels)


def _threshold(value: Any, place: str) -> float:
    """A threshold, as a head's own must be: more than 0 and less than 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        shown = clean(str(value), 60)
        remedy = "a number greater than 0 and less than 1"
        raise _error(f"{place}: {shown} is no threshold", remedy)
    return float(value)


def _span(values: tuple[float, ...]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, by label"


def _error(finding: str, remedy: str, file: str = "") -> EmomtlError:
    return EmomtlError(Problem("--thresholds", finding, remedy, file))

"""From which probability labels are answered: the heads' own thresholds, those tuned on validation, or given ones."""

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
    from emomtl.metrics.tuning import TaskTuning

Thresholds = Mapping[str, tuple[float, ...]]
"""By task a threshold for each of its labels, in their order."""

PLACE, FIXED = "--thresholds", "fixed"
FORM = 'such as {"goemotions": 0.3} or {"goemotions": {"joy": 0.4, ...}}'


def chosen_thresholds(
    choice: str, opened: OpenedRun, tasks: Mapping[str, BoundTask]
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """The thresholds that a choice means for these tasks, and what to say of them.

    A choice is `fixed` (the heads' own: nothing), `tuned`, `tuned-by-label`, a number, or the name of a JSON file.
    """
    if choice == FIXED:
        return {}, []
    asked = {name: bound for name, bound in tasks.items() if bound.head.by_thresholds}
    if not asked:
        found = f"{', '.join(tasks)}: no task here answers its labels by thresholds"
        raise EmomtlError(Problem(PLACE, found, "leave it out; multi-label heads do"))
    if choice in WRITTEN:
        return _tuned(choice, opened, asked)
    if (number := _as_number(choice)) is not None:
        value = _threshold(number, f"'{clean(choice)}'")
        found_all = {name: (value,) * len(_labels(bound)) for name, bound in asked.items()}
        return found_all, [f"{name}: labels are answered from {value:g}" for name in asked]
    if not choice.endswith(".json"):
        found = f"'{clean(choice, 200)}' is not known"
        raise EmomtlError(Problem(PLACE, found, "fixed, tuned, tuned-by-label, a number such as 0.3, or a .json file"))
    given = _read(Path(choice))
    if unknown := [name for name in given if name not in opened.plan.tasks]:
        found = f"{clean(choice, 200)}: '{clean(unknown[0])}' is no task of this run"
        raise EmomtlError(Problem(PLACE, found, suggest(unknown[0], opened.plan.tasks)))
    values = {name: _given(choice, name, bound, given.get(name)) for name, bound in asked.items()}
    return values, [
        f"{name}: labels are answered from {_span(one)}, as {clean(choice, 200)} says" for name, one in values.items()
    ]


def _tuned(choice: str, opened: OpenedRun, asked: Mapping[str, BoundTask]) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """The thresholds that were tuned on validation, for the checkpoint that answers."""
    tunings = opened.tunings(asked)
    if lacking := [name for name in asked if name not in tunings]:
        run, checkpoint = clean(str(opened.run.folder), 300), opened.checkpoint.step
        found = f"{', '.join(lacking)}: the run has no tuned thresholds for this checkpoint"
        remedy = f"`emomtl eval {run} --split validation --checkpoint {checkpoint}` tunes them"
        raise EmomtlError(Problem(PLACE, found, remedy))
    values = {name: tunings[name].thresholds[WRITTEN[choice]].values for name in asked}
    return values, [_said(name, tunings[name], choice, one) for name, one in values.items()]


def _said(name: str, tuning: TaskTuning, choice: str, values: tuple[float, ...]) -> str:
    of_few = tuning.thresholds[WRITTEN[choice]].shared
    few = f"; {len(of_few)} label(s) with few positive rows take the one for all" if of_few else ""
    return f"{name}: labels are answered from {_span(values)}, tuned on {tuning.rows:,} validation rows{few}"


def _span(values: tuple[float, ...]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, by label"


def _given(path: str, task: str, bound: BoundTask, found: Any) -> tuple[float, ...]:
    """What a file gives for one task: a number for all labels, or one for each of them."""
    labels, place = _labels(bound), f"{clean(path, 200)}: '{clean(task)}'"
    if found is None:
        remedy = f"add it, {FORM}, or choose other tasks with --task"
        raise EmomtlError(Problem(PLACE, f"{place} is missing, and answers by thresholds", remedy))
    if not isinstance(found, Mapping):
        return (_threshold(found, place),) * len(labels)
    if unknown := [label for label in found if label not in labels]:
        raise EmomtlError(Problem(PLACE, f"{place} has no label '{clean(unknown[0])}'", suggest(unknown[0], labels)))
    if lacking := [label for label in labels if label not in found]:
        listed = ", ".join(clean(label, 40) for label in lacking[:8])
        raise EmomtlError(Problem(PLACE, f"{place}: no threshold for {len(lacking)} label(s): {listed}", "give all of them"))
    return tuple(_threshold(found[label], f"{place}, '{clean(label)}'") for label in labels)


def _labels(bound: BoundTask) -> tuple[str, ...]:
    return bound.head.outputs(bound.taxonomy)


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _threshold(value: Any, place: str) -> float:
    """A threshold, as a head's own must be: more than 0 and less than 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        shown = clean(str(value), 60)
        raise EmomtlError(Problem(PLACE, f"{place}: {shown} is no threshold", "a number greater than 0 and less than 1"))
    return float(value)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = loads(read_bytes(path))
    except ValueError as error:
        raise EmomtlError(Problem(PLACE, f"not JSON: {clean(str(error), 200)}", FORM, str(path))) from error
    if not isinstance(found, Mapping):
        raise EmomtlError(Problem(PLACE, f"a JSON object was expected, found {type(found).__name__}", FORM, str(path)))
    return found

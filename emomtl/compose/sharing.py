"""What tasks share, resolved: changes of the encoder, and heads that answer for several tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.composer import Composer
from emomtl.contracts.encoder_change import EncoderChange
from emomtl.data.bound_task import BoundTask
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, Use

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def encoder_changes(
    composer: Composer, tables: Sequence[Use], tasks: Sequence[str]
) -> tuple[EncoderChange, ...]:
    """The changes of the encoder that resolve, in the manifest's order; each may be named once."""
    changes: dict[int, EncoderChange] = {}
    for number, table in enumerate(tables):
        place = f"encoder.changes[{number}]"
        if table.use in [earlier.use for earlier in tables[:number]]:
            found = f"'{clean(table.use)}' changes the encoder already"
            remedy = "one table with all of its options"
            composer.add(Problem(f"{place}.use", found, remedy))
            continue
        change = composer.used("change", table, place)
        if change is not None:
            changes[number] = change
    for number, change in changes.items():
        others = [other for place, other in changes.items() if place != number]
        try:
            change.check(tasks, others)
        except EmomtlError as error:
            composer.add(*error.problems, place=f"encoder.changes[{number}]")
    return tuple(changes.values())


def changes_of(manifest: Manifest, plugins: Plugins, folder: Path) -> tuple[EncoderChange, ...]:
    """The changes of a run's encoder, from its complete manifest.

    EmomtlError with all that does not resolve.
    """
    composer = Composer(plugins, folder, None)
    tasks = tuple(name for name, table in manifest.tasks.items() if table.trained)
    changes = encoder_changes(composer, manifest.encoder.changes, tasks)
    if composer.problems:
        raise EmomtlError(*composer.problems)
    return changes


def check_ties(tasks: Mapping[str, BoundTask], names: Collection[str]) -> list[Problem]:
    """What is wrong with `tie` of a run's tasks; `names` has those that did not resolve, too.

    Labels that are still to be learned from rows are not compared: ask again when they are known.
    """
    problems = []
    for name, task in tasks.items():
        tie, place = task.table.tie, f"tasks.{name}.tie"
        if tie is None:
            continue
        if tie not in names:
            found = f"'{clean(tie)}' is no task of this run"
            problems.append(Problem(place, found, suggest(tie, names)))
        elif tie == name:
            remedy = "name another task, or leave it out"
            problems.append(Problem(place, "a task is tied to itself", remedy))
        elif tie in tasks and (misfit := _misfit(task, tasks[tie])) is not None:
            problems.append(Problem(place, *misfit))
    return problems


def _misfit(task: BoundTask, owner: BoundTask) -> tuple[str, str] | None:
    """Why a task cannot answer with another's head: what was found, and what would work."""
    name, head, owner_head = owner.name, task.head, owner.head
    if owner.table.tie is not None:
        return f"'{name}' has no head of its own", f'tie = "{owner.table.tie}", whose head it is'
    if head.kind != owner_head.kind:
        found = f"the head of '{task.name}' is {head.kind}, that of '{name}' {owner_head.kind}"
        return found, "tie tasks with heads of one kind"
    if (head.lr, head.dropout) != (owner_head.lr, owner_head.dropout):
        found = f"lr or dropout of the head differ from those of '{name}'"
        return found, "set them alike: the head is one"
    if head.kind != "regression" and (task.taxonomy is None or owner.taxonomy is None):
        return None
    ours, theirs = head.outputs(task.taxonomy), owner_head.outputs(owner.taxonomy)
    if ours == theirs:
        return None
    if sorted(ours) == sorted(theirs):
        found = f"the labels are those of '{name}' in another order"
        return found, "an output means one label: give both one order"
    lacking = [label for label in ours if label not in theirs]
    lacking += [label for label in theirs if label not in ours]
    shown = ", ".join(clean(label, 40) for label in lacking[:5])
    return f"the labels differ from those of '{name}': {shown}", "tie tasks with the same labels"

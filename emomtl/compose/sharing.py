"""What tasks share, resolved: the changes of the encoder, and heads that answer for several tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundTask
from emomtl.contracts.encoder_change import EncoderChange
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, Use

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def encoder_changes(composer: Composer, tables: Sequence[Use], tasks: Sequence[str]) -> tuple[EncoderChange, ...]:
    """The changes of the encoder that resolve, in the manifest's order; each may be named once."""
    found: dict[int, EncoderChange] = {}
    for number, use in enumerate(tables):
        place = f"encoder.changes[{number}]"
        if use.use in [earlier.use for earlier in tables[:number]]:
            remedy = "one table with all of its options"
            composer.add(Problem(f"{place}.use", f"'{clean(use.use)}' changes the encoder already", remedy))
        elif (change := composer.used("change", use, place)) is not None:
            found[number] = change
    for number, change in found.items():
        try:
            change.check(tasks, [other for place, other in found.items() if place != number])
        except EmomtlError as error:
            composer.add(*error.problems, place=f"encoder.changes[{number}]")
    return tuple(found.values())


def changes_of(manifest: Manifest, plugins: Plugins, folder: Path) -> tuple[EncoderChange, ...]:
    """The changes of a run's encoder, from its complete manifest; EmomtlError with all that does not resolve."""
    composer = Composer(plugins, folder, None)
    tasks = tuple(name for name, table in manifest.tasks.items() if table.trained)
    found = encoder_changes(composer, manifest.encoder.changes, tasks)
    if composer.problems:
        raise EmomtlError(*composer.problems)
    return found


def check_ties(tasks: Mapping[str, BoundTask], known: Collection[str]) -> list[Problem]:
    """What is wrong with `tie` in the tasks of a run; `known` are the names of all, those included that did not resolve.

    Labels that are still to be learned from rows are not compared: ask again when they are known.
    """
    problems = []
    for name, bound in tasks.items():
        tie, place = bound.table.tie, f"tasks.{name}.tie"
        if tie is None:
            continue
        if tie not in known:
            problems.append(Problem(place, f"'{clean(tie)}' is no task of this run", suggest(tie, known)))
        elif tie == name:
            problems.append(Problem(place, "a task is tied to itself", "name another task, or leave it out"))
        elif tie in tasks:
            problems += [Problem(place, *why)] if (why := _misfit(bound, tasks[tie])) else []
    return problems


def _misfit(one: BoundTask, other: BoundTask) -> tuple[str, str] | None:
    """Why a task cannot answer with another's head: what was found, and what would work."""
    if other.table.tie is not None:
        return f"'{other.name}' has no head of its own", f'tie = "{other.table.tie}", whose head it is'
    if one.head.kind != other.head.kind:
        found = f"the head of '{one.name}' is {one.head.kind}, that of '{other.name}' {other.head.kind}"
        return found, "tie tasks with heads of one kind"
    if (one.head.lr, one.head.dropout) != (other.head.lr, other.head.dropout):
        return f"lr or dropout of the head differ from those of '{other.name}'", "set them alike: the head is one"
    if one.head.kind != "regression" and (one.taxonomy is None or other.taxonomy is None):
        return None
    mine, theirs = one.head.outputs(one.taxonomy), other.head.outputs(other.taxonomy)
    if mine == theirs:
        return None
    if sorted(mine) == sorted(theirs):
        return f"the labels are those of '{other.name}' in another order", "an output means one label: give both one order"
    lacking = [label for label in mine if label not in theirs] + [label for label in theirs if label not in mine]
    found = f"the labels differ from those of '{other.name}': {', '.join(clean(label, 40) for label in lacking[:5])}"
    return found, "tie tasks with the same labels"

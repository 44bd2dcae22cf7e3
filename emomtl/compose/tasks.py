"""The tasks of a run, resolved: each with its head and its rows; derived tasks after those that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundTask
from emomtl.contracts.heads import Head
from emomtl.contracts.task import DerivedTask, Task, TaskFamily
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.locate import Located, locate
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import HeadTable, TaskTable, options_of

BALANCE = "give `balance` (0.5, say), or leave it out"


def bind_tasks(composer: Composer, tables: Mapping[str, TaskTable], training: bool) -> dict[str, BoundTask]:
    """The tasks of the run that resolve, in the manifest's order; a derived one is made when the one that it names is there."""
    offers = {name: _offered(composer, name, table) for name, table in tables.items()}
    made_of = {name: of for name, table in tables.items() if (of := _made_of(name, offers[name], tables)) is not None}
    bound: dict[str, BoundTask] = {}
    for name in _in_order(composer, list(tables), made_of):
        if offers[name] is None or made_of.get(name, name) not in {*bound, name}:  # what is wrong was said at its own place
            continue
        if (task := _task(composer, name, tables[name], offers[name], bound, training)) is not None:
            bound[name] = task
    for task in bound.values():
        if problems := _noise_problems(task, bound):
            composer.add(*problems)
    return {name: bound[name] for name in tables if name in bound}


def _noise_problems(task: BoundTask, bound: Mapping[str, BoundTask]) -> list[Problem]:
    """What is wrong with a task whose labels follow the label noise of another one."""
    other_name, place = task.table.label_noise_from, f"tasks.{task.name}.label_noise_from"
    if other_name is None:
        return []
    if task.table.label_noise:
        return [Problem(place, "the task has `label_noise` of its own", "leave one of the two out")]
    if other_name == task.name or other_name not in bound:
        return [Problem(place, f"'{clean(other_name)}' is no other task of the run", suggest(other_name, bound))]
    other = bound[other_name]
    if not other.table.label_noise:
        return [Problem(place, f"'{other_name}' has no `label_noise`", f"give tasks.{other_name}.label_noise, or leave it out")]
    if other.head.kind == "single-label":
        found = f"'{other_name}' has single labels, which are drawn anew one by one, so that nothing can follow them"
        return [Problem(place, found, "a multi-label head there, whose label sets go around among the rows")]
    if task.located is not None and other.located is not None and task.located.identity != other.located.identity:
        return [Problem(place, f"'{other_name}' reads other rows", "name a task of the same source")]
    return []


def _made_of(name: str, offer: Any, tables: Mapping[str, TaskTable]) -> str | None:
    """The other task of the run that a derived one names."""
    of = tables[name].options.get("of") if _is_derived(offer) else None
    return of if isinstance(of, str) and of in tables and of != name else None


def _in_order(composer: Composer, names: list[str], made_of: Mapping[str, str]) -> list[str]:
    """The tasks, each after the one that it is made of; those that are made of one another are said once and left out."""
    while True:
        try:
            graph = {name: [made_of[name]] if made_of.get(name) in names else [] for name in names}
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = error.args[1][::-1]
            found = "these tasks are made of one another: " + " of ".join(f"'{name}'" for name in circle)
            composer.add(Problem(f"tasks.{circle[0]}.options", found, "one of them needs a task that has rows of its own"))
            names = [name for name in names if name not in circle]


def _is_derived(offer: Any) -> bool:
    return isinstance(offer, type) and issubclass(offer, DerivedTask)


def _offered(composer: Composer, name: str, table: TaskTable) -> Any | None:
    """The task or family that a table names."""
    try:
        return composer.plugins.offer("task", table.use or name).value
    except EmomtlError as error:
        composer.add(*error.problems, place=f"tasks.{name}.use" if table.use else f"tasks.{name}")
        return None


def _task(
    composer: Composer, name: str, table: TaskTable, offered: Any, others: Mapping[str, BoundTask], training: bool
) -> BoundTask | None:
    """One task with its head, and where its rows are; `others` are those that a derived task may be made of."""
    place, family, source = f"tasks.{name}", None, table.source
    if isinstance(offered, Task):
        if table.options:
            composer.add(Problem(f"{place}.options", f"task '{offered.name}' takes no options", "leave them out"))
        task = offered
    else:
        family = composer.options(offered, table.options, f"{place}.options")
        if family is None:
            return None
        try:
            if isinstance(family, DerivedTask):
                base = _base(composer, family.of, others)
                task, source = family.derive(base.task), source or base.source
                task = replace(task, sensitive=True) if base.task.sensitive else task  # whatever the plugin says of it
            else:
                task = family.task()
        except EmomtlError as error:
            composer.add(*error.problems, place=f"{place}.options")
            return None
    head = _head(composer, task, table.head, f"{place}.head")
    try:
        if head is not None and isinstance(family, TaskFamily):
            task, head = family.bound(head, table.head is not None)
        if head is not None and table.learned_labels is not None:
            task = _with_learned(task, head, table.learned_labels)
    except EmomtlError as error:
        composer.add(*error.problems, place=place)
        return None
    if head is not None and table.label_noise and head.answers == "nothing":
        composer.add(Problem(f"{place}.label_noise", f"a {head.kind} head has no labels to replace", "leave it out"))
    if head is not None and table.balance is not None and head.answers != "labels":
        composer.add(Problem(f"{place}.balance", f"a {head.kind} head has no labels to balance", "leave it out"))
    if head is not None and table.balance is not None and head.needs_rows:
        found = "its head's loss makes up for how often each label comes, and `balance` changes how often it does"
        composer.add(Problem(f"{place}.balance", found, "take one of them"))
    if table.balance is None and table.balance_below is not None:
        composer.add(Problem(f"{place}.balance_below", "says which labels are rare for `balance`, which is not given", BALANCE))
    located: Located | None = None
    if head is not None and training and table.trained:
        try:
            located = locate(task.layouts, source, composer.folder, name)
        except EmomtlError as error:
            composer.add(*error.problems, place=f"{place}.source" if table.source else place)
    if head is None or (training and table.trained and located is None):
        return None
    return BoundTask(name, task, head, table, located, source, family)


def _with_learned(task: Task, head: Head, learned: Sequence[str]) -> Task:
    """The task with labels that a run learned; refused where the task has its own, or answers with none."""
    if task.taxonomy is not None and task.taxonomy.names == tuple(learned):
        return task  # derived of a task whose labels were learned: it has them from there
    if task.taxonomy is not None or head.answers != "labels":
        found = "`learned_labels` are those of a task that learns them, and this one does not"
        raise EmomtlError(found, remedy="leave the key out; a run writes it")
    return replace(task, taxonomy=Taxonomy(learned))


def _base(composer: Composer, of: str, others: Mapping[str, BoundTask]) -> BoundTask:
    """The task of which another is derived: one of the run, else an installed one with its default options."""
    if of in others:
        return others[of]
    offered = composer.plugins.offer("task", of).value
    if _is_derived(offered):
        raise EmomtlError(f"'{of}' is derived itself", remedy=f"give it a table, [tasks.{of}], that says what it is made of")
    task = offered if isinstance(offered, Task) else offered().task()
    return BoundTask(of, task, task.head, TaskTable(), None)


def _head(composer: Composer, task: Task, table: HeadTable | None, place: str) -> Head | None:
    """The head of a task: as it declares it, with other options, or another kind."""
    if table is None:
        head: Head | None = task.head
    elif not table.use or table.use == task.head.kind:
        head = composer.options(type(task.head), {**options_of(task.head), **table.options}, place)
    else:
        head = composer.used("head", table, place)
    if head is None:
        return None
    learns = task.taxonomy is None and head.answers != "labels"
    try:
        head.check(task.taxonomy)
        if task.taxonomy is None and not learns and task.head.answers != "labels":
            raise EmomtlError(
                f"the task answers with {task.head.answers} and has no labels", remedy=f'keep its "{task.head.kind}" head'
            )
    except EmomtlError as error:
        composer.add(*error.problems, place=place)
        return None
    return head

"""The tasks of a run, resolved: each with its head and its rows; derived tasks from those that they are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundTask
from emomtl.data.locate import Located, locate
from emomtl.errors import EmomtlError, Problem
from emomtl.heads import Head
from emomtl.manifest import HeadTable, TaskTable, options_of
from emomtl.task import DerivedTask, Task


def bind_tasks(composer: Composer, tables: Mapping[str, TaskTable], training: bool) -> dict[str, BoundTask]:
    """The tasks of the run that resolve, in the manifest's order; derived ones are made when all others are there."""
    offers = {name: _offered(composer, name, table) for name, table in tables.items()}
    derived = {name for name, offer in offers.items() if isinstance(offer, type) and issubclass(offer, DerivedTask)}
    bound: dict[str, BoundTask] = {}
    for name in _in_order(composer, tables, derived):
        of = str(tables[name].options.get("of")) if name in derived else ""
        if offers[name] is None or (of in tables and of not in bound):  # what is wrong with that task is said there
            continue
        if (task := _task(composer, name, tables[name], offers[name], bound, training)) is not None:
            bound[name] = task
    return {name: bound[name] for name in tables if name in bound}


def _in_order(composer: Composer, tables: Mapping[str, TaskTable], derived: Collection[str]) -> list[str]:
    """The tasks so that each comes after the one that it is made of; tasks that are made of each other are a problem."""
    order = [name for name in tables if name not in derived]
    waiting = [name for name in tables if name in derived]
    while ready := [name for name in waiting if tables[name].options.get("of") not in waiting]:
        order += ready
        waiting = [name for name in waiting if name not in ready]
    for name in waiting:
        found = f"'{name}' is made of '{tables[name].options['of']}', which is made of it, or waits for one that is"
        composer.add(Problem(f"tasks.{name}.options.of", found, "let one of them be made of a task that has rows of its own"))
    return order


def _offered(composer: Composer, name: str, table: TaskTable) -> Any | None:
    """The task or family that a table names."""
    if composer.doubtful("tasks", name, "use"):
        return None
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
            else:
                task = family.task()
        except EmomtlError as error:
            composer.add(*error.problems, place=f"{place}.options")
            return None
    head = _head(composer, task, table.head, f"{place}.head")
    located: Located | None = None
    if head is not None and training and table.trained:
        try:
            located = locate(task.layouts, source, composer.folder, name)
        except EmomtlError as error:
            composer.add(*error.problems, place=f"{place}.source" if table.source else place)
    if head is None or (training and table.trained and located is None):
        return None
    return BoundTask(name, task, head, table, located, source, family)


def _base(composer: Composer, of: str, others: Mapping[str, BoundTask]) -> BoundTask:
    """The task of which another is derived: one of the run, else an installed one with its default options."""
    if of in others:
        return others[of]
    offered = composer.plugins.offer("task", of).value
    if isinstance(offered, type) and issubclass(offered, DerivedTask):
        raise EmomtlError(f"'{of}' is derived itself", remedy="derive from a task that has rows of its own")
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

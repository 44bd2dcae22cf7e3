"""The tasks of a run, resolved: each with its head and its rows; derived ones after their bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from emomtl.compose.composer import Composer
from emomtl.contracts.heads import Head
from emomtl.contracts.task import DerivedTask, Task, TaskFamily
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.bound_task import BoundTask
from emomtl.data.locate import locate
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import HeadTable, Manifest, TaskTable, options_of

Family = TaskFamily | DerivedTask


def bind_tasks(composer: Composer, manifest: Manifest, training: bool) -> dict[str, BoundTask]:
    """The tasks that resolve, in the manifest's order.

    A derived task is bound once the one that it names is. Without `training`, rows are not looked
    for.
    """
    tables = manifest.tasks
    offers = {name: _offered(composer, name, table) for name, table in tables.items()}
    bases = {}
    for name, table in tables.items():
        base = _base_name(name, offers[name], table)
        if base in tables:
            bases[name] = base
    bound: dict[str, BoundTask] = {}
    for name in _ordered(composer, list(tables), bases):
        if offers[name] is None or (name in bases and bases[name] not in bound):
            continue  # what is wrong is said at its own place
        binding = _Binding(composer, name, tables[name], bound)
        task = binding.bind(offers[name], training)
        if task is not None:
            own_length = tables[name].max_tokens
            if own_length != manifest.encoder.max_tokens:
                task = replace(task, max_tokens=own_length)
            bound[name] = task
    for task in bound.values():
        problem = _noise_problem(task, bound)
        if problem is not None:
            composer.add(problem)
    return {name: bound[name] for name in tables if name in bound}


def _offered(composer: Composer, name: str, table: TaskTable) -> Any | None:
    """The task or family that a table names."""
    try:
        return composer.plugins.offer("task", table.use or name).value
    except EmomtlError as error:
        composer.add(*error.problems, place=f"tasks.{name}.use" if table.use else f"tasks.{name}")
        return None


def _base_name(name: str, offer: Any, table: TaskTable) -> str | None:
    """The other task that a derived one names."""
    of = table.options.get("of") if _is_derived(offer) else None
    return of if isinstance(of, str) and of != name else None


def _is_derived(offer: Any) -> bool:
    return isinstance(offer, type) and issubclass(offer, DerivedTask)


def _ordered(composer: Composer, names: list[str], bases: Mapping[str, str]) -> list[str]:
    """The tasks, each after its base; those that are made of one another are left out."""
    while True:
        graph = {name: [bases[name]] if bases.get(name) in names else [] for name in names}
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            cycle = error.args[1][::-1]
            shown = " of ".join(f"'{name}'" for name in cycle)
            found = f"these tasks are made of one another: {shown}"
            remedy = "one of them needs a task that has rows of its own"
            composer.add(Problem(f"tasks.{cycle[0]}.options", found, remedy))
            names = [name for name in names if name not in cycle]


class _Binding:
    """Binds one task; what is wrong with it goes to the composer."""

    def __init__(
        self, composer: Composer, name: str, table: TaskTable, others: Mapping[str, BoundTask]
    ) -> None:
        """`others` are those that a derived task may be made of."""
        self.composer, self.name, self.table, self.others = composer, name, table, others
        self.place = f"tasks.{name}"

    def bind(self, offered: Any, training: bool) -> BoundTask | None:
        """The task with its head, and where its rows are; None where it does not resolve."""
        resolved = self._task(offered)
        if resolved is None:
            return None
        task, family, source = resolved
        head = self._head(task)
        if head is None:
            return None
        try:
            if isinstance(family, TaskFamily):
                task, head = family.bound(head, self.table.head is not None)
            if self.table.learned_labels is not None:
                task = _with_learned(task, head, self.table.learned_labels)
        except EmomtlError as error:
            self.composer.add(*error.problems, place=self.place)
            return None
        self._check_labels(head)
        bound = BoundTask(self.name, task, head, self.table, None, source, family)
        if not training or not self.table.trained:
            return bound
        try:
            located = locate(task.layouts, source, self.composer.folder, self.name)
        except EmomtlError as error:
            place = f"{self.place}.source" if self.table.source else self.place
            self.composer.add(*error.problems, place=place)
            return None
        return replace(bound, located=located)

    def _task(self, offered: Any) -> tuple[Task, Family | None, str | None] | None:
        """The task itself, the family that holds its options, and where its rows are."""
        place, source = f"{self.place}.options", self.table.source
        if isinstance(offered, Task):
            if self.table.options:
                found = f"task '{offered.name}' takes no options"
                self.composer.add(Problem(place, found, "leave them out"))
            return offered, None, source
        family: Family | None = self.composer.options(offered, self.table.options, place)
        if family is None:
            return None
        try:
            if not isinstance(family, DerivedTask):
                return family.task(), family, source
            base = self._base(family.of)
            task = family.derive(base.task)
        except EmomtlError as error:
            self.composer.add(*error.problems, place=place)
            return None
        if base.task.sensitive:  # whatever the plugin says of it
            task = replace(task, sensitive=True)
        return task, family, source or base.source

    def _base(self, of: str) -> BoundTask:
        """The task of which this one is derived: one of the run, else an installed one."""
        if of in self.others:
            return self.others[of]
        offered = self.composer.plugins.offer("task", of).value
        if _is_derived(offered):
            remedy = f"give it a table, [tasks.{of}], that says what it is made of"
            raise EmomtlError(f"'{of}' is derived itself", remedy=remedy)
        task = offered if isinstance(offered, Task) else offered().task()
        return BoundTask(of, task, task.head)

    def _head(self, task: Task) -> Head | None:
        """The head of the task: as it declares it, with other options, or another kind."""
        table, place = self.table.head, f"{self.place}.head"
        head: Head | None = task.head
        if table is not None:
            head = self._chosen_head(task.head, table, place)
        if head is None:
            return None
        try:
            head.check(task.taxonomy)
            has_labels = task.taxonomy is not None or task.head.answers == "labels"
            if not has_labels and head.answers == "labels":
                found = f"the task answers with {task.head.answers} and has no labels"
                raise EmomtlError(found, remedy=f'keep its "{task.head.kind}" head')
        except EmomtlError as error:
            self.composer.add(*error.problems, place=place)
            return None
        return head

    def _chosen_head(self, own: Head, table: HeadTable, place: str) -> Head | None:
        if table.use and table.use != own.kind:
            return self.composer.used("head", table, place)
        options = {**options_of(own), **table.options}
        return self.composer.options(type(own), options, place)

    def _check_labels(self, head: Head) -> None:
        """What needs labels, and a head without any."""
        table, add = self.table, self.composer.add
        if table.label_noise and head.answers == "nothing":
            found = f"a {head.kind} head has no labels to replace"
            add(Problem(f"{self.place}.label_noise", found, "leave it out"))
        place = f"{self.place}.balance"
        if table.balance is not None and head.answers != "labels":
            add(Problem(place, f"a {head.kind} head has no labels to balance", "leave it out"))
        if table.balance is not None and head.needs_rows:
            found = "its head's loss makes up for how often each label comes, "
            found += "and `balance` changes how often it does"
            add(Problem(place, found, "take one of them"))
        if table.balance is None and table.balance_below is not None:
            found = "says which labels are rare for `balance`, which is not given"
            remedy = "give `balance` (0.5, say), or leave it out"
            add(Problem(f"{place}_below", found, remedy))


def _with_learned(task: Task, head: Head, learned: Sequence[str]) -> Task:
    """The task with labels that a run learned.

    EmomtlError where the task has its own, or answers with none.
    """
    if task.taxonomy is not None and task.taxonomy.names == tuple(learned):
        return task  # derived of a task whose labels were learned: it has them from there
    if task.taxonomy is not None or head.answers != "labels":
        found = "`learned_labels` are those of a task that learns them, and this one does not"
        raise EmomtlError(found, remedy="leave the key out; a run writes it")
    return replace(task, taxonomy=Taxonomy(learned))


def _noise_problem(task: BoundTask, bound: Mapping[str, BoundTask]) -> Problem | None:
    """What is wrong with a task whose labels follow the label noise of another one."""
    name, place = task.table.label_noise_from, f"tasks.{task.name}.label_noise_from"
    if name is None:
        return None
    if task.table.label_noise:
        found = "the task has `label_noise` of its own"
        return Problem(place, found, "leave one of the two out")
    if name == task.name or name not in bound:
        found = f"'{clean(name)}' is no other task of the run"
        return Problem(place, found, suggest(name, bound))
    other = bound[name]
    if not other.table.label_noise:
        remedy = f"give tasks.{name}.label_noise, or leave it out"
        return Problem(place, f"'{name}' has no `label_noise`", remedy)
    if other.head.kind == "single-label":
        found = f"'{name}' has single labels, which are drawn anew one by one, "
        found += "so that nothing can follow them"
        remedy = "a multi-label head there, whose label sets go around among the rows"
        return Problem(place, found, remedy)
    if task.located is None or other.located is None:
        return None
    if task.located.identity != other.located.identity:
        return Problem(place, f"'{name}' reads other rows", "name a task of the same source")
    return None

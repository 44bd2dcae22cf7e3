"""The objectives of a run, resolved: each with its task, and checked against the labels of all tasks."""

from __future__ import annotations

from collections.abc import Mapping

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundObjective, BoundTask
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, ObjectiveTable, options_of


def bind_objectives(composer: Composer, manifest: Manifest, tasks: Mapping[str, BoundTask]) -> dict[str, BoundObjective]:
    """The objectives that resolve, in the manifest's order; nothing more is said of one whose task did not resolve."""
    bound: dict[str, BoundObjective] = {}
    for name, table in manifest.objectives.items():
        place = f"objectives.{name}"
        if name in manifest.tasks:
            composer.add(Problem(place, f"'{name}' is a task of this run, too", "give the objective a name of its own"))
        if table.task not in manifest.tasks:
            found = f"'{clean(table.task)}' is no task of this run"
            composer.add(Problem(f"{place}.task", found, suggest(table.task, manifest.tasks)))
        objective = composer.used("objective", table, place)
        if objective is None or set(tasks) != set(manifest.tasks) or table.task not in tasks:
            continue
        bound[name] = BoundObjective(name, table.task, table.weight, objective)
        if objective.partners and manifest.sampler.per_step == "one":
            found = f"'{table.use}' needs the answers of {_named(objective.partners)} on the same texts"
            composer.add(Problem(place, found, '`sampler.per_step = "all"` puts every task into every step'))
        composer.add(*objective_problems(bound[name], tasks, {task: one.taxonomy for task, one in tasks.items()}))
    return bound


def complete_objectives(manifest: Manifest, bound: Mapping[str, BoundObjective]) -> dict[str, ObjectiveTable]:
    """The tables with every default and option written out."""
    uses = {name: table.use for name, table in manifest.objectives.items()}
    return {
        name: ObjectiveTable(use=uses[name], task=one.task, weight=one.weight, **options_of(one.objective))
        for name, one in bound.items()
    }


def objective_problems(
    one: BoundObjective, tasks: Mapping[str, BoundTask], taxonomies: Mapping[str, Taxonomy | None]
) -> tuple[Problem, ...]:
    """What does not fit between an objective and the tasks; nothing while labels are not yet learned from the rows."""
    place = f"objectives.{one.name}"
    for partner in one.objective.partners:
        if partner not in tasks or partner == one.task:
            found = f"'{partner}' is no other task of this run"
            return (Problem(place, found, suggest(partner, [task for task in tasks if task != one.task])),)
    concerned = {task: (tasks[task].head, taxonomies.get(task)) for task in (one.task, *one.objective.partners)}
    if any(taxonomy is None and head.kind != "regression" for head, taxonomy in concerned.values()):
        return ()
    try:
        one.objective.check(one.task, concerned)
    except EmomtlError as error:
        return tuple(Problem(place, f"{p.place}: {p.found}" if p.place else p.found, p.remedy) for p in error.problems)
    return ()


def _named(tasks: tuple[str, ...]) -> str:
    return " and ".join(f"'{task}'" for task in tasks)

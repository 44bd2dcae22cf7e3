"""The objectives of a run, resolved: each with its task, and checked against the tasks' labels."""

from __future__ import annotations

from collections.abc import Mapping

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundObjective
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.bound_task import BoundTask
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, ObjectiveTable, options_of


def bind_objectives(
    composer: Composer, manifest: Manifest, tasks: Mapping[str, BoundTask]
) -> dict[str, BoundObjective]:
    """The objectives that resolve, in the manifest's order.

    Where a task did not resolve, only the objective's names and options are checked.
    """
    objectives: dict[str, BoundObjective] = {}
    taxonomies = {name: task.taxonomy for name, task in tasks.items()}
    for name, table in manifest.objectives.items():
        place = f"objectives.{name}"
        if name in manifest.tasks:
            found = f"'{name}' is a task of this run, too"
            composer.add(Problem(place, found, "give the objective a name of its own"))
        if table.task not in manifest.tasks:
            found = f"'{clean(table.task)}' is no task of this run"
            composer.add(Problem(f"{place}.task", found, suggest(table.task, manifest.tasks)))
        objective = composer.used("objective", table, place)
        if objective is None or set(tasks) != set(manifest.tasks) or table.task not in tasks:
            continue
        bound = objectives[name] = BoundObjective(name, table.task, table.weight, objective)
        if objective.partners and manifest.sampler.per_step == "one":
            partners = " and ".join(f"'{task}'" for task in objective.partners)
            found = f"'{table.use}' needs the answers of {partners} on the same texts"
            remedy = '`sampler.per_step = "all"` puts every task into every step'
            composer.add(Problem(place, found, remedy))
        composer.add(*objective_problems(bound, tasks, taxonomies))
    return objectives


def complete_objectives(
    manifest: Manifest, objectives: Mapping[str, BoundObjective]
) -> dict[str, ObjectiveTable]:
    """The tables with every default and option written out."""
    tables = {}
    for name, bound in objectives.items():
        use, options = manifest.objectives[name].use, options_of(bound.objective)
        tables[name] = ObjectiveTable(use=use, task=bound.task, weight=bound.weight, **options)
    return tables


def objective_problems(
    bound: BoundObjective,
    tasks: Mapping[str, BoundTask],
    taxonomies: Mapping[str, Taxonomy | None],
) -> tuple[Problem, ...]:
    """What does not fit between an objective and the tasks.

    Nothing is said while labels are not yet learned from the rows.
    """
    place = f"objectives.{bound.name}"
    for partner in bound.objective.partners:
        if partner not in tasks or partner == bound.task:
            others = [name for name in tasks if name != bound.task]
            found = f"'{partner}' is no other task of this run"
            return (Problem(place, found, suggest(partner, others)),)
    concerned = {}
    for name in (bound.task, *bound.objective.partners):
        head, taxonomy = tasks[name].head, taxonomies.get(name)
        if taxonomy is None and head.kind != "regression":
            return ()
        concerned[name] = (head, taxonomy)
    try:
        bound.objective.check(bound.task, concerned)
    except EmomtlError as error:
        problems = []
        for problem in error.problems:
            found = f"{problem.place}: {problem.found}" if problem.place else problem.found
            problems.append(Problem(place, found, problem.remedy))
        return tuple(problems)
    return ()

"""`emomtl data audit`: what is wrong with the rows of a run, before it trains on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from emomtl.analyses.runs import option
from emomtl.contracts.analysis import ManifestAnalysis, Result
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError, Problem, suggest

if TYPE_CHECKING:
    from emomtl.analyses.audit.findings import Report
    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData


@dataclass(frozen=True)
class AuditAnalysis(ManifestAnalysis):
    """Look for leaks, near duplicates, conflicting and suspect labels, rare labels and lexical
    shortcuts in a run's rows.
    """

    allow: tuple[str, ...] = option(
        (), "Findings of this kind are no error; may be repeated.", metavar="KIND"
    )
    sample: Annotated[int, Ge(100)] = option(
        100_000, "Training rows of a task at most in which label noise is looked for."
    )
    near: bool = option(True, "Look for near duplicates.")
    noise: bool = option(True, "Look for label noise, which takes longest.")

    def __post_init__(self) -> None:
        """Refuse kinds of findings that do not exist."""
        from emomtl.analyses.audit.findings import KINDS

        problems = []
        for kind in self.allow:
            if kind not in KINDS:
                found = f"no finding is called '{kind}'"
                problems.append(Problem("--allow", found, suggest(kind, KINDS)))
        if problems:
            raise EmomtlError(*problems)

    def run(self, plan: Plan, say: Callable[[str], None]) -> Result:
        """Read the rows of the manifest's tasks, test among them, and look for what can be wrong.

        The training rows are those of the run: `limit` and `data.drop_leaks` hold. Validation and
        test are read whole. Nothing is scored, so this is no look at test.
        """
        say("reading ...")
        data = _read(plan)
        report = self._report(plan, data, say)
        tables = [table for table in report.tables if table.rows]
        findings = [finding.as_result(self.allow) for finding in report.sorted()]
        return Result(
            f"Data audit of {plan.manifest.name}",
            tables,
            findings=findings,
            about=(
                "A row is named by its split and its line in the source (Parquet, hub: its number)."
                " The texts of sensitive tasks are not in this page. Nothing was scored: test rows"
                " were read for their texts and labels, and this is no look at test."
            ),
            notes=report.notes,
            data=report.as_json(),
        )

    def _report(self, plan: Plan, data: TaskData, say: Callable[[str], None]) -> Report:
        """Ask every part of the audit what it finds."""
        from emomtl.analyses.audit.conflicts import conflicts
        from emomtl.analyses.audit.duplicates import Index, duplicates
        from emomtl.analyses.audit.findings import Report
        from emomtl.analyses.audit.labels import labels
        from emomtl.analyses.audit.lengths import lengths
        from emomtl.analyses.audit.near import near
        from emomtl.analyses.audit.noise import noise
        from emomtl.analyses.audit.rows import groups
        from emomtl.analyses.audit.shortcuts import shortcuts
        from emomtl.lexicon import not_cut

        report = Report(plan.manifest.name, notes=list(data.notes))
        say("texts that stand twice ...")
        groups_of_tasks = groups(data, {name: bound.head for name, bound in plan.tasks.items()})
        for group in groups_of_tasks:
            line = not_cut(next(iter(group.rows.values())).texts) if group.rows else ""
            if line:
                report.notes.append(f"{group.name}: {line}")
        index = Index(groups_of_tasks)
        duplicates(index, report)
        if self.near:
            say(f"near duplicates of {len(index):,} texts ...")
            near(index, report)
        say("labels, lengths and shortcuts ...")
        conflicts(groups_of_tasks, report)
        labels(groups_of_tasks, report)
        lengths(groups_of_tasks, report)
        shortcuts(groups_of_tasks, report)
        if self.noise:
            say("label noise ...")
            noise(groups_of_tasks, self.sample, report)
        return report


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `audit`."""
    return {"audit": AuditAnalysis}


def _read(plan: Plan) -> TaskData:
    """All rows of the manifest's tasks."""
    from emomtl.data.bound_task import ReadOptions
    from emomtl.data.tasks import read_tasks

    # Tasks share texts here whatever their lengths, or a text would count as its own duplicate.
    tasks = [replace(task, max_tokens=None) for task in plan.tasks.values()]
    table = plan.manifest.data
    options = ReadOptions(
        on_bad_row=table.on_bad_row,
        leaks="drop" if table.drop_leaks else "keep",
        limited=("train",),
        label_noise=False,
    )
    return read_tasks(tasks, options)

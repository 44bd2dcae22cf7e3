"""A whole audit: read the rows as the run would, then ask every part what it finds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from emomtl.analyses.audit.conflicts import conflicts
from emomtl.analyses.audit.duplicates import Index, duplicates
from emomtl.analyses.audit.findings import KINDS, Finding, Report
from emomtl.analyses.audit.labels import labels
from emomtl.analyses.audit.lengths import lengths
from emomtl.analyses.audit.near import near
from emomtl.analyses.audit.noise import noise
from emomtl.analyses.audit.rows import groups
from emomtl.analyses.audit.shortcuts import shortcuts
from emomtl.compose import Plan
from emomtl.contracts.sources import SPLITS
from emomtl.data.task_input import TaskInput
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.lexicon import not_cut

SAMPLE = 100_000
"""Training rows of a task above which label noise is asked of a sample."""


@dataclass(frozen=True)
class Wanted:
    """Which parts of an audit are wanted, and how many training rows label noise is asked of at most."""

    near: bool = True
    noise: bool = True
    sample: int = SAMPLE


def audit(plan: Plan, wanted: Wanted, phase: Callable[[str], None]) -> Report:
    """Read the rows of a run's tasks, test among them, and look for all that is known to go wrong with rows.

    The training rows are those of the run: `limit` and `data.drop_leaks` hold. Validation and test are read whole. Nothing
    is scored, so this is no look at test. `phase` hears what is going on.
    """
    phase("reading")
    inputs = []
    for bound in plan.tasks.values():
        assert bound.located is not None
        inputs.append(TaskInput(bound.name, bound.task, bound.head, bound.located, bound.table.limit))
    options = plan.manifest.data
    data = read_tasks(inputs, SPLITS, options.on_bad_row, leaks="drop" if options.drop_leaks else "keep")
    report = Report(plan.manifest.name, notes=list(data.notes))
    phase("texts that stand twice")
    found = groups(data, {name: bound.head for name, bound in plan.tasks.items()})
    for group in found:
        line = not_cut(next(iter(group.rows.values())).texts) if group.rows else ""
        if line:
            report.notes.append(f"{group.name}: {line}")
    index = Index(found)
    duplicates(index, report)
    if wanted.near:
        phase(f"near duplicates of {len(index):,} texts")
        near(index, report)
    phase("labels, lengths and shortcuts")
    conflicts(found, report)
    labels(found, report)
    lengths(found, report)
    shortcuts(found, report)
    if wanted.noise:
        phase("label noise")
        noise(found, wanted.sample, report)
    return report


def known_kinds(given: Collection[str]) -> frozenset[str]:
    """The kinds of findings that are allowed; EmomtlError for one that does not exist."""
    wrong = [kind for kind in given if kind not in KINDS]
    if wrong:
        raise EmomtlError(*(Problem("--allow", f"no finding is called '{kind}'", suggest(kind, KINDS)) for kind in wrong))
    return frozenset(given)


def refused(report: Report, allowed: Collection[str]) -> list[Finding]:
    """The findings that are errors and not allowed."""
    return [one for one in report.sorted() if one.severity == "error" and one.kind not in allowed]

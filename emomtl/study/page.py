"""The page of a study, and its tables for other formats: verdicts first, then their grounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.collect import RunResult, collect
from emomtl.report.html_page import Section, page, shown, warnings_of
from emomtl.report.provenance import environment_tables, manifest_table
from emomtl.report.sampling import sampling_table
from emomtl.run import is_run
from emomtl.study.figures import Drawn, study_pictures
from emomtl.study.labels import label_table
from emomtl.study.other_tasks import other_tasks_table
from emomtl.study.planning import StudyPlan
from emomtl.study.result import COLUMNS, RowResult, StudyResult
from emomtl.study.space import kept_space
from emomtl.study.table import number, study_table, verdict_of


@dataclass(frozen=True)
class StudyReport:
    """A study as far as it has come: its plan, its result, and its runs by row and seed."""

    plan: StudyPlan
    result: StudyResult
    runs: Mapping[str, Mapping[int, RunResult]]

    @property
    def drawn(self) -> Drawn:
        """What its pictures are drawn from."""
        return Drawn(self.result, self.runs)

    @property
    def every(self) -> list[RunResult]:
        """All runs that have begun, row by row."""
        return [run for runs in self.runs.values() for run in runs.values()]


def study_report(plan: StudyPlan, result: StudyResult) -> StudyReport:
    """Read the runs of a study, named after their rows and seeds; EmomtlError for a damaged one."""
    runs: dict[str, dict[int, RunResult]] = {}
    for planned in plan.runs:
        if is_run(planned.folder):
            (run,) = collect([planned.folder])
            run = replace(run, name=f"{planned.row}, seed {planned.seed}")
            runs.setdefault(planned.row, {})[planned.seed] = run
    return StudyReport(plan, result, runs)


def study_tables(report: StudyReport) -> list[Table]:
    """All tables of a study, for Markdown, LaTeX, CSV and the terminal; the verdicts first."""
    return [
        study_table(report.result),
        *other_tasks_table(report.result),
        *kept_space(report.plan),
        *label_table(report.plan, report.result),
        *sampling_table(report.every),
        *_training_times(report),
        *_manifests(report),
    ]


def study_page(report: StudyReport, version: str) -> str:
    """The whole page as HTML; it opens from disk and holds no text of a corpus."""
    result, plan = report.result, report.plan
    pictures = {}
    for picture in study_pictures(report.drawn):
        pictures[picture.name.removeprefix("study-")] = shown([picture])
    training = [*pictures.get("course", ()), *pictures.get("sampling", ())]
    how = "Press a heading to sort by its column; type to filter."
    changes = "Manifests against the reference's, key by key."
    sampling, environments = sampling_table(report.every), list(environment_tables(report.every))
    sections = [
        Section(
            "Verdicts", [_verdicts(result)], pictures.get("differences", ()), about=result.about
        ),
        Section("Figures", [_scores(result)], pictures.get("seeds", ())),
        Section("Other tasks", other_tasks_table(result)),
        Section("Training", _training_times(report), training),
        Section("Embedding spaces", kept_space(plan), about=how, closed=True),
        Section("Labels", label_table(plan, result), about=how, closed=True),
        Section("Sampling of every run", sampling, closed=True),
        Section("What each row changes", list(_manifests(report)), about=changes),
        Section("Environment and data", environments, closed=True),
    ]
    sections = [section for section in sections if section.tables or section.pictures]
    warnings = list(dict.fromkeys([*_warnings(result), *warnings_of(sections)]))
    return page(f"Study: {result.title}", study_summary(result), sections, warnings, version)


def study_summary(result: StudyResult) -> str:
    """The verdicts in a sentence: which rows are better than their reference, and which are not."""
    rows_by_verdict: dict[str, list[str]] = {}
    for row in result.rows:
        if row.comparison is not None:
            difference = number(row.comparison.difference.value, "+.4f")
            rows_by_verdict.setdefault(verdict_of(row), []).append(f"'{row.name}' ({difference})")
    for row in result.rows:
        if row.comparison is None and row.against is not None:
            why = "as not run yet"
            if row.apart:
                why = "as scored on other test rows"
            rows_by_verdict.setdefault(f"untested, {why},", []).append(f"'{row.name}'")
    parts = [f"{verdict} for {', '.join(rows)}" for verdict, rows in rows_by_verdict.items()]
    reference = result.reference
    against = f"'{reference.name}'"
    if result.several_references:
        against = "the row that each stands against"
    if not parts:
        return f"There is no row beside {against}."
    metric = f"{reference.scoring.name} on test ({reference.test_rows:,} rows)"
    claim = f"that a row has a better {metric} than {against}"
    return f"The claim {claim} is {'; '.join(parts)}."


def _verdicts(result: StudyResult) -> Table:
    """Comparisons as numbers, so that a page sorts them by value."""
    numbers = ("verdict", "seeds", "difference", "interval low", "interval high")
    tests = ("p (Holm)", "p (McNemar)", "effect", "detectable")
    notes = study_table(result).notes[1 if result.about else 0 :]
    if result.several_references:
        rows = tuple((row.name, row.against or "", *_verdict(row)) for row in result.rows)
        return Table("Each comparison", ("row", "against", *numbers, *tests), rows, notes)
    rows = tuple((row.name, *_verdict(row)) for row in result.rows)
    return Table("Each row against the reference", ("row", *numbers, *tests), rows, notes)


def _verdict(row: RowResult) -> list[Cell]:
    """Verdict, seeds and numbers; an empty cell where there is none, None where it is undefined."""
    seeds = f"{len(row.scores.get(('test', 'best'), {}))} of {len(row.wanted)}"
    comparison = row.comparison
    if comparison is None:
        return [verdict_of(row), seeds, *[""] * 7]
    difference = comparison.difference
    cells: list[Cell] = [verdict_of(row), seeds, difference.value, difference.low, difference.high]
    cells.append(comparison.corrected_p)
    for optional in (comparison.p_mcnemar, comparison.effect):
        cells.append("" if optional is None else optional)
    return [*cells, comparison.detectable]


def _scores(result: StudyResult) -> Table:
    """Means and deviations over seeds, a column each."""
    columns = ["row", "seeds", "target updates"]
    for column in COLUMNS:
        columns += [", ".join(column), "±"]
    rows = []
    for row in result.rows:
        cells: list[Cell] = [row.name, row.state, max(row.updates.values(), default=0) or ""]
        for column in COLUMNS:
            spread = row.spread(column)
            if spread is None:
                cells += [None if row.undefined(column) else "", ""]
            else:
                cells += [spread.mean, "" if spread.sd is None else spread.sd]
        rows.append(tuple(cells))
    title = f"{result.metric_in_words}: mean and standard deviation over seeds"
    return Table(title, tuple(columns), tuple(rows))


def _training_times(report: StudyReport) -> list[Table]:
    """How long each run trained."""
    rows: list[tuple[Cell, ...]] = []
    for row, runs in report.runs.items():
        for seed, run in runs.items():
            minutes: Cell = sum(run.seconds) / 60 if run.seconds else "not ended"
            threads = str(run.environment.get("threads", ""))
            device = str(run.environment.get("device_name", ""))
            rows.append((row, seed, run.step, minutes, threads, device, run.ended))
    columns = ("row", "seed", "steps", "minutes", "threads", "device", "ended")
    note = (
        "minutes of the machine as busy as it was, evaluations included; parts that were killed "
        "are not in them"
    )
    if not rows:
        return []
    return [Table("Training time", columns, tuple(rows), (note,))]


def _manifests(report: StudyReport) -> Iterator[Table]:
    """Where each row's manifest differs from its reference's, at a seed that both have."""
    for row in report.result.rows:
        against = row.against or report.result.reference.name
        own, other = report.runs.get(row.name, {}), report.runs.get(against, {})
        seeds = [seed for seed in own if seed in other]
        if row.name == against or not seeds:
            continue
        seed = seeds[0]
        reference, changed = (against, other[seed].manifest), (row.name, own[seed].manifest)
        yield manifest_table(reference, changed, with_names=False)


def _warnings(result: StudyResult) -> Iterator[str]:
    """What a reader must know before the verdicts."""
    unfinished = []
    for row in result.rows:
        for seed, error in row.failed.items():
            yield f"{row.name}, seed {seed} failed: {error}"
        if row.state != "whole" and not row.failed:
            unfinished.append(f"{row.name} ({row.state})")
    if unfinished:
        yield f"not all runs are there yet: {', '.join(unfinished)}"
    if max(len(row.predictions) for row in result.rows) == 1:
        yield (
            "one seed only: nothing is known of what another seed would give, so every row is"
            " untested"
        )

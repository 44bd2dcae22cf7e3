"""The page of a study, and its tables for other forms: the verdicts in words first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.collect import RunResult, collect
from emomtl.report.html_page import Section, page, shown, warnings_of
from emomtl.report.provenance import environment_tables, manifest_table
from emomtl.report.sampling import sampling_table
from emomtl.run import is_run
from emomtl.study.auxiliaries import auxiliary_table
from emomtl.study.figures import Drawn, named, study_pictures
from emomtl.study.labels import label_table
from emomtl.study.planning import StudyPlan
from emomtl.study.result import COLUMNS, RowResult, StudyResult
from emomtl.study.space import kept_space
from emomtl.study.table import study_table, verdict_of


@dataclass(frozen=True)
class StudyReport:
    """A study as far as it has come: what was planned, what came out, and its runs by row and seed."""

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
    """Read the runs of a study, under the names of their rows; EmomtlError where one is damaged."""
    runs: dict[str, dict[int, RunResult]] = {}
    for planned in plan.runs:
        if is_run(planned.folder):
            (found,) = collect([planned.folder])
            named = replace(found, name=f"{planned.row}, seed {planned.seed}")
            runs.setdefault(planned.row, {})[planned.seed] = named
    return StudyReport(plan, result, runs)


def study_tables(report: StudyReport) -> list[Table]:
    """All tables of a study, for Markdown, LaTeX, CSV and the terminal; the verdicts first."""
    return [
        study_table(report.result),
        *auxiliary_table(report.result),
        *kept_space(report.plan),
        *label_table(report.plan, report.result),
        *sampling_table(report.every),
        *_times(report),
        *_manifests(report),
    ]


def study_page(report: StudyReport, version: str) -> str:
    """The whole page as text; it opens from disk and holds no text of a corpus."""
    result = report.result
    pictures = {one.name: shown([one]) for one in study_pictures(report.drawn)}
    note = "Press a heading to sort by its column; type to filter."
    sections = [
        Section("Verdicts", [_verdicts(result)], pictures.get("study-differences", ()), about=result.about),
        Section("Figures", [_figures(result)], pictures.get("study-seeds", ())),
        Section("Other tasks", auxiliary_table(result)),
        Section("Training", _times(report), [*pictures.get("study-course", ()), *pictures.get("study-sampling", ())]),
        Section("Embedding spaces", kept_space(report.plan), about=note, closed=True),
        Section("Labels", label_table(report.plan, result), about=note, closed=True),
        Section("Sampling of every run", sampling_table(report.every), closed=True),
        Section("What each row changes", list(_manifests(report)), about="Manifests against the reference's, key by key."),
        Section("Environment and data", list(environment_tables(report.every)), closed=True),
    ]
    sections = [section for section in sections if section.tables or section.pictures]
    warned = dict.fromkeys([*_warnings(result), *warnings_of(sections)])
    scale = f", scale {result.scale}" if result.scale else ""
    return page(f"Study: {result.name}{scale}", study_summary(result), sections, list(warned), version)


def study_summary(result: StudyResult) -> str:
    """The verdicts in a sentence: which rows are better than what they stand against, and which are not known to be."""
    said: dict[str, list[str]] = {}
    reference = result.reference
    lacking = [row for row in result.rows if row.comparison is None and row.against is not None]
    waiting = [f"'{row.name}'" for row in lacking if not row.apart]
    apart = [f"'{row.name}'" for row in lacking if row.apart]
    for row in result.rows:
        if row.comparison is not None:
            value = row.comparison.difference.value
            words = f"'{row.name}' ({'undefined' if value is None else f'{value:+.4f}'})"
            said.setdefault(verdict_of(row), []).append(words)
    parts = [f"{verdict} for {', '.join(rows)}" for verdict, rows in said.items()]
    parts += [f"untested, as not run yet, for {', '.join(waiting)}"] if waiting else []
    parts += [f"untested, as scored on other test rows, for {', '.join(apart)}"] if apart else []
    against = "the row that each stands against" if result.several_references else f"'{reference.name}'"
    claim = f"that a row has a better {reference.scoring.name} on test ({reference.test_rows:,} rows) than {against}"
    return f"The claim {claim} is {'; '.join(parts)}." if parts else f"There is no row beside {against}."


def _verdicts(result: StudyResult) -> Table:
    """Comparisons as numbers, so that a page sorts them by value."""
    several = result.several_references
    columns = (
        *("row", *(("against",) if several else ()), "verdict", "seeds", "difference", "interval low", "interval high"),
        *("p (Holm)", "p (McNemar)", "effect", "detectable"),
    )
    notes = study_table(result).notes[1 if result.about else 0 :]
    rows = tuple((row.name, *((row.against or "",) if several else ()), *_verdict(row)) for row in result.rows)
    return Table("Each row against the reference" if not several else "Each comparison", columns, rows, notes)


def _verdict(row: RowResult) -> tuple[Cell, ...]:
    found = row.comparison
    seeds = f"{len(row.figures.get(('test', 'best'), {}))} of {len(row.wanted)}"
    if found is None:
        return (verdict_of(row), seeds, *[""] * 7)
    mcnemar: Cell = "" if found.p_mcnemar is None else found.p_mcnemar
    effect: Cell = "" if found.effect is None else found.effect
    one, p = found.difference, found.p if found.p_holm is None else found.p_holm  # None: undefined
    return (verdict_of(row), seeds, one.value, one.low, one.high, p, mcnemar, effect, found.detectable)


def _figures(result: StudyResult) -> Table:
    """Means and deviations over seeds, a column each."""
    columns = ["row", "seeds", "target updates"]
    for split, which in COLUMNS:
        columns += [f"{split}, {which}", "±"]
    rows: list[tuple[Cell, ...]] = []
    for row in result.rows:
        cells: list[Cell] = []
        for column in COLUMNS:
            spread = row.spread(column)
            if spread is None:
                cells += [None if row.undefined(column) else "", ""]
                continue
            cells += [spread.mean, "" if spread.sd is None else spread.sd]
        rows.append((row.name, row.state, max(row.updates.values(), default=0) or "", *cells))
    return Table(f"{named(result)}: mean and standard deviation over seeds", tuple(columns), tuple(rows))


def _times(report: StudyReport) -> list[Table]:
    """How long each run trained."""
    rows: list[tuple[Cell, ...]] = []
    for row, runs in report.runs.items():
        for seed, run in runs.items():
            minutes: Cell = sum(run.seconds) / 60 if run.seconds else "not ended"
            device = str(run.environment.get("device_name", ""))
            rows.append((row, seed, run.step, minutes, str(run.environment.get("threads", "")), device, run.ended))
    columns = ("row", "seed", "steps", "minutes", "threads", "device", "ended")
    note = "minutes of the machine as busy as it was, evaluations included; parts that were killed are not in them"
    return [Table("Training time", columns, tuple(rows), (note,))] if rows else []


def _manifests(report: StudyReport) -> Iterator[Table]:
    """Where each row's manifest differs from that of the row it stands against, else of the reference, at a seed of both."""
    for row in report.result.rows:
        against = row.against or report.result.reference.name
        ours, theirs = report.runs.get(row.name, {}), report.runs.get(against, {})
        common = [seed for seed in ours if seed in theirs]
        if row.name == against or not common:
            continue
        seed = common[0]
        reference, other = (against, theirs[seed].manifest), (row.name, ours[seed].manifest)
        yield manifest_table(reference, other, with_names=False)


def _warnings(result: StudyResult) -> Iterator[str]:
    """What a reader must know before the verdicts."""
    for row in result.rows:
        yield from (f"{row.name}, seed {seed} failed: {said}" for seed, said in row.failed.items())
    if waiting := [f"{row.name} ({row.state})" for row in result.rows if row.state != "whole" and not row.failed]:
        yield f"not all runs are there yet: {', '.join(waiting)}"
    if max(len(row.answers) for row in result.rows) == 1:
        yield "one seed only: nothing is known of what another seed would give, so every row is untested"

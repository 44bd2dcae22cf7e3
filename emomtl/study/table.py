"""A study's result as a table for people: spreads, the difference with its interval, and the verdict in words."""

from __future__ import annotations

from emomtl.report.cells import Cell, Table
from emomtl.statistics import LEVEL, POWER, Spread
from emomtl.study.results import COLUMNS, RowResult, StudyResult

HEADINGS = (
    *("row", "seeds", "target updates", *(f"{split}, {which}" for split, which in COLUMNS)),
    *("difference on test", "95% interval", "p (Holm)", "p (McNemar)", "effect", "detectable", "verdict"),
)


def study_table(result: StudyResult) -> Table:
    """The table of a study, the reference first as it stands; rows that time did not reach are there as pending."""
    rows = tuple(_row(row, result.reference) for row in result.rows)
    scale = f", scale {result.scale}" if result.scale else ""
    title = f"{result.name}{scale}: {result.target}/{result.metric}"
    return Table(title, HEADINGS, rows, tuple(_notes(result)))


def _row(row: RowResult, reference: str) -> tuple[Cell, ...]:
    updates = sorted(set(row.updates.values()))
    trained = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}" if updates else ""
    seeds = f"{len(row.wanted)}" if row.state == "whole" else row.state
    figures = [_spelt(row.spread(column)) for column in COLUMNS]
    found = row.comparison
    if found is None:
        verdict = "reference" if row.name == reference else "failed" if row.failed else "pending"
        return (row.name, seeds, trained, *figures, "", "", "", "", "", "", verdict)
    interval = f"{found.difference.low:+.4f} to {found.difference.high:+.4f}"
    effect = "" if found.effect is None else f"{found.effect:+.2f}"
    tests = (_p(found.p_holm if found.p_holm is not None else found.p), _p(found.p_mcnemar))
    numbers = (f"{found.difference.value:+.4f}", interval, *tests, effect, f"{found.detectable:.4f}")
    return (row.name, seeds, trained, *figures, *numbers, found.verdict)


def _spelt(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.mean:.4f}" if spread.sd is None else f"{spread.mean:.4f} ± {spread.sd:.4f}"


def _p(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _notes(result: StudyResult) -> list[str]:
    """What a reader must know beside the table."""
    notes = [result.about] if result.about else []
    notes.append(
        f"mean ± standard deviation over seeds; the best checkpoint is chosen on validation; test ({result.test_rows:,} rows) "
        "was scored once for each run and checkpoint"
    )
    notes.append(
        f"the difference is the row less '{result.reference}' at the best checkpoint, paired by test row and seed; its "
        f"{LEVEL:.0%} interval holds for another draw of both; p is Holm's over this table; effect is in standard deviations "
        f"over seeds; detectable is the difference that is found with a power of {POWER:.0%}"
    )
    if result.less_is_better:
        notes.append(f"{result.metric} is an error: below 0 the row is better than '{result.reference}'")
    for row in result.rows:
        notes += [f"{row.name}, seed {seed}: {error}" for seed, error in row.failed.items()]
        if len(set(row.updates.values())) > 1:
            notes.append(f"warning: {row.name} gave the target unequal updates over seeds")
    trained = {max(row.updates.values()) for row in result.rows if row.updates}
    if len(trained) > 1:
        notes.append(f"warning: rows gave the target unequal updates ({min(trained):,} to {max(trained):,})")
    return notes

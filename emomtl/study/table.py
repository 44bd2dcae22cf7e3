"""A study's result as a table for people: spreads, the difference with its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.intervals import Estimate
from emomtl.metrics.significance import POWER
from emomtl.study.rates import rates_notes
from emomtl.study.result import COLUMNS, RowResult, StudyResult

SAME_EXAMPLES = 0.02
"""Rows differ in the target's examples where they are further apart than this part of the greater number.

Rows without a label count in no step, so two draws of one manifest differ by a little.
"""

COMPARED = ("difference on test", "95% interval", "p (Holm)", "p (McNemar)", "effect", "detectable", "verdict")


def study_table(result: StudyResult) -> Table:
    """The table of a study, the reference first as it stands; rows that time did not reach are there as pending.

    With rows of several tasks there is a column for the figure; where nothing can be compared, none for comparisons.
    """
    scale = f", scale {result.scale}" if result.scale else ""
    several, published = len(result.figures) > 1, any(row.published for row in result.rows)
    compared = any(row.against is not None for row in result.rows)
    title = f"{result.name}{scale}" if several else f"{result.name}{scale}: {result.figures[0]}"
    parts: list[tuple[bool, tuple[str, ...], Callable[[RowResult], tuple[Cell, ...]]]] = [
        (True, ("row",), lambda row: (row.name,)),
        (several, ("figure",), lambda row: (row.scoring.name,)),
        (True, ("seeds", "target updates"), _trained),
        (bool(_unequal_examples(result)), ("target examples",), lambda row: (_counted(row.examples),)),
        (
            True,
            tuple(f"{split}, {which}" for split, which in COLUMNS),
            lambda row: tuple(_spelt(row, one) for one in COLUMNS),
        ),
        (True, ("interval of test, best",), lambda row: (_interval(row.own),)),
        (published, ("published",), _published),
        (result.several_references, ("against",), lambda row: (row.against or "",)),
        (compared, COMPARED, _compared),
    ]
    shown = [(headings, cells) for wanted, headings, cells in parts if wanted]
    columns = tuple(heading for headings, _ in shown for heading in headings)
    rows = tuple(tuple(cell for _, cells in shown for cell in cells(row)) for row in result.rows)
    return Table(title, columns, rows, tuple(_notes(result, compared)))


def _published(row: RowResult) -> tuple[Cell, ...]:
    """What others report, each with the name of the metric."""
    return ("; ".join(f"{row.scoring.metric} {value:g} ({who})" for who, value in row.published.items()),)


def _trained(row: RowResult) -> tuple[Cell, ...]:
    return (f"{len(row.wanted)}" if row.state == "whole" else row.state, _counted(row.updates))


def _counted(by_seed: Mapping[int, int]) -> str:
    """A count that every seed has, or the least and the greatest."""
    counts = sorted(set(by_seed.values()))
    if len(counts) < 2:
        return f"{counts[0]:,}" if counts else ""
    return f"{counts[0]:,} to {counts[-1]:,}"


def _compared(row: RowResult) -> tuple[Cell, ...]:
    found = row.comparison
    if found is None:
        return ("", "", "", "", "", "", verdict_of(row))
    effect = "" if found.effect is None else f"{found.effect:+.2f}"
    p = "undefined" if found.p is None else _p(found.p_holm if found.p_holm is not None else found.p)
    value, detectable = found.difference.value, found.detectable
    return (
        "undefined" if value is None else f"{value:+.4f}",
        _interval(found.difference, "+"),
        p,
        _p(found.p_mcnemar),
        effect,
        "undefined" if detectable is None else f"{detectable:.4f}",
        verdict_of(row),
    )


def verdict_of(row: RowResult) -> str:
    """The verdict on a row, with its reason where that is not the table's own; `reference` for one that others stand against."""
    found = row.comparison
    if found is not None:
        return f"{found.verdict} ({found.reason})" if found.verdict == "untested" else found.verdict
    if row.against is None and not row.failed:
        return "reference"
    reason = "failed" if row.failed else "other test rows" if row.apart else "pending"
    return f"untested ({reason})"


def _interval(found: Estimate | None, sign: str = "") -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return "undefined"
    return f"{found.low:{sign}.4f} to {found.high:{sign}.4f}"


def _spelt(row: RowResult, column: tuple[str, str]) -> str:
    if row.undefined(column):
        return f"undefined ({len(row.undefined(column))} of {len(row.figures[column])} seeds)"
    spread = row.spread(column)
    if spread is None:
        return ""
    return f"{spread.mean:.4f}" if spread.sd is None else f"{spread.mean:.4f} ± {spread.sd:.4f}"


def _p(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _notes(result: StudyResult, compared: bool) -> list[str]:
    """What a reader must know beside the table."""
    notes = [result.about] if result.about else []
    sizes = {row.test_rows for row in result.rows if row.answers}
    rows = f" ({max(sizes):,} rows)" if len(sizes) == 1 else ""
    notes.append(
        f"mean ± standard deviation over seeds; {_chosen(result)}; test{rows} {_looked(result)}; "
        f"its {LEVEL:.0%} interval holds for another draw of seeds and test rows, with one seed of rows alone"
    )
    other = "the row that it stands against," if result.several_references else f"'{result.reference.name}'"
    if compared:
        notes.append(
            f"the difference is the row less {other} at the best checkpoint, paired by test row and seed; its "
            f"{LEVEL:.0%} interval holds for another draw of both; p is Holm's over this table; effect is in standard deviations "
            f"over seeds; detectable is the difference that is found with a power of {POWER:.0%}"
        )
    if compared:
        none = f"within {result.margin:g} of zero" if result.margin else "exactly zero, that is to say equal predictions"
        notes.append(
            f"a verdict is on the claim that the row is better than {other.rstrip(',')}: supported (the interval lies on the "
            f"better side of zero and p is below {1 - LEVEL:.2g}), contradicted (the same on the worse side), equivalent (the "
            f"interval lies {none}), inconclusive (anything else), untested (seeds or rows are missing, or there is one seed)"
        )
    notes += rates_notes(result.rates) if compared else []
    if compared and result.reference.scoring.less_is_better:
        notes.append(f"{result.reference.scoring.metric} is an error: below 0 the row is better than {other.rstrip(',')}")
    notes += _thresholds(result)
    if any(row.published for row in result.rows):
        notes.append("published figures are of other encoders and other training, and some of other thresholds")
    for row in result.rows:
        notes += [f"{row.name}, seed {seed}: {error}" for seed, error in row.failed.items()]
        if len(set(row.updates.values())) > 1:
            notes.append(WarningNote(f"{row.name} gave the target unequal updates over seeds"))
        notes += _of_other_rows(row)
        notes += undefined_notes(row)
    return notes + _unequal(result) + _unequal_examples(result)


def _thresholds(result: StudyResult) -> list[str]:
    """At which thresholds rows are compared, for a target whose labels are answered by thresholds."""
    scoring = result.reference.scoring
    if scoring.way is not None:
        how = {"tuned": "one threshold for all labels", "tuned_by_label": "a threshold for each label"}[scoring.way]
        return [
            f"{scoring.metric}: each run at its own thresholds, {how}, tuned on its validation rows; on validation itself "
            "cross-fitted; intervals take the thresholds as given"
        ]
    if scoring.tuned is not None:
        return [
            f"{scoring.metric} is at one fixed threshold in every row, which favours rows whose probabilities are higher: "
            f'`metric = "{scoring.tuned}"` compares each row at its own'
        ]
    return []


def _chosen(result: StudyResult) -> str:
    """What chose the best checkpoints, in words: one metric for all rows, or those of each."""
    by_metric: dict[str, list[str]] = {}
    for row in result.rows:
        if row.chosen_by:
            by_metric.setdefault(" or ".join(row.chosen_by), []).append(row.name)
    begin = "the best checkpoint is chosen on validation"
    if len(by_metric) < 2:
        return f"{begin} by {next(iter(by_metric))}" if by_metric else begin
    told = [f"by {metric} ({', '.join(names)})" for metric, names in by_metric.items()]
    return f"{begin} {'; '.join(told)}"


def _looked(result: StudyResult) -> str:
    """How often checkpoints were scored on test, in words."""
    if max((n for row in result.rows for n in row.looks.values()), default=0) <= 1:
        return "was scored once for each run and checkpoint"
    often = [f"{row.name}, seed {seed}: {n} times" for row in result.rows for seed, n in row.looks.items() if n > 1]
    return f"was scored more than once for a run and checkpoint ({'; '.join(often)})"


def _of_other_rows(row: RowResult) -> list[str]:
    """What of a row was scored on other rows than its runs' own, or than the row that it stands against."""
    notes = []
    if row.elsewhere:
        seeds = ", ".join(map(str, row.elsewhere))
        notes.append(
            f"{row.name}, seed {seeds}: test was scored on other rows too (`--allow-changed data`); "
            "the table holds the scores of the run's own rows alone"
        )
    if row.apart:
        notes.append(WarningNote(f"{row.name} is not compared: {row.apart}"))
    return notes


def undefined_notes(row: RowResult) -> list[str]:
    """What is undefined in a row, and why it has no interval, and so is untested."""
    notes = []
    for split, which in COLUMNS:
        if seeds := row.undefined((split, which)):
            told = ", ".join(map(str, seeds))
            metric = row.scoring.metric
            notes.append(f"{row.name}, seed {told}: {metric} on {split}, {which}, is undefined")
    difference = row.comparison.difference if row.comparison is not None else None
    for what, found in (("the interval of test", row.own), ("the difference", difference)):
        if found is not None and (said := _why_undefined(found)):
            notes.append(f"{row.name}: {what} {said}")
    return notes


def _why_undefined(found: Estimate) -> str:
    """Why an estimate has no interval, or what its interval leaves out, in words; nothing of a whole one."""
    draws = found.undefined_samples
    if found.value is None:
        return "is undefined, as the metric of a seed is"
    if found.low is None and found.undefined:
        return f"is not known: the metric is undefined in {draws}"
    if found.low is None:
        return "is not known: nothing varies over seeds and samples of the rows, or there is one row"
    if found.undefined:
        return f"leaves out {draws}, in which the metric is undefined"
    return "ends where the metric does" if found.clipped else ""


def _unequal(result: StudyResult) -> list[str]:
    """Comparisons whose rows had the target unequally often."""
    notes: list[str] = []
    for reference in dict.fromkeys(row.against or row.name for row in result.rows):
        rows = [row for row in result.rows if reference in (row.name, row.against)]
        trained = {max(row.updates.values()) for row in rows if row.updates}
        if len(trained) > 1:
            which = f" against '{reference}'" if result.several_references else ""
            notes.append(WarningNote(f"rows{which} gave the target unequal updates ({min(trained):,} to {max(trained):,})"))
    return notes


def _unequal_examples(result: StudyResult) -> list[str]:
    """Rows that gave the target equally many updates of unequal size: fewer labelled examples than the row they stand against.

    With `per_step = "all"` the tasks share the examples of a step, so a task has fewer of them beside another one.
    """
    named = {row.name: row for row in result.rows}
    notes: list[str] = []
    for row in result.rows:
        other = named[row.against] if row.against is not None else row
        if not row.examples or not other.examples:
            continue
        mine, theirs = (sum(one.examples.values()) / len(one.examples) for one in (row, other))
        if abs(mine - theirs) > SAME_EXAMPLES * max(mine, theirs):
            unequal = f"'{row.name}' gave the target {mine:,.0f} labelled examples, '{other.name}' {theirs:,.0f}"
            notes.append(
                WarningNote(
                    f'{unequal}: equal updates are no equal training (with `per_step = "all"`, a sampler that '
                    "gives the target as many in both, or a `batch_size` of its own)"
                )
            )
    return notes

"""A study's result as a table for people: means over seeds, differences, intervals, verdicts."""

from __future__ import annotations

from collections.abc import Mapping

from emomtl.contracts.analysis import Cell, Table, WarningNote
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.intervals import Estimate
from emomtl.metrics.significance import POWER
from emomtl.study.rates import rates_notes
from emomtl.study.result import COLUMNS, RowResult, StudyResult

SAME_EXAMPLES = 0.02
"""Rows differ in the target's examples by more than this part of the greater number.

Rows without a label count in no step, so two draws of one manifest differ by a little.
"""

COMPARED = (
    *("difference on test", f"{LEVEL:.0%} interval", "p (Holm)", "p (McNemar)"),
    *("effect", "detectable", "verdict"),
)


def study_table(result: StudyResult) -> Table:
    """The table of a study, the reference as it stands; rows without runs are there as pending.

    With rows of several tasks there is a column for the metric; where nothing can be compared, none
    for comparisons.
    """
    title = result.title
    if len(result.metrics) == 1:
        title += f": {result.metrics[0]}"
    cells = list(map(_cells, result.rows))
    shown = dict.fromkeys(cells[0], True)
    shown["figure"] = len(result.metrics) > 1
    shown["target examples"] = bool(_unequal_examples(result))
    shown["published"] = any(row.published for row in result.rows)
    shown["against"] = result.several_references
    for column in COMPARED:
        shown[column] = result.has_comparisons
    columns = tuple(filter(shown.__getitem__, shown))
    rows = tuple(tuple(row[column] for column in columns) for row in cells)
    return Table(title, columns, rows, tuple(_notes(result)))


def _cells(row: RowResult) -> dict[str, Cell]:
    """Every cell of a row by its column."""
    cells: dict[str, Cell] = {
        "row": row.name,
        "figure": row.scoring.name,
        "seeds": row.state.replace("whole", f"{len(row.wanted)}"),
        "target updates": _range(row.updates),
        "target examples": _range(row.examples),
    }
    for column in COLUMNS:
        cells[", ".join(column)] = _mean(row, column)
    cells["interval of test, best"] = _interval(row.own)
    # what others report, each with the name of the metric
    published = [f"{row.scoring.metric} {value:g} ({who})" for who, value in row.published.items()]
    cells["published"] = "; ".join(published)
    cells["against"] = row.against or ""
    return cells | dict(zip(COMPARED, _compared(row), strict=True))


def _range(by_seed: Mapping[int, int]) -> str:
    """A count that every seed has, or the least and the greatest."""
    if not by_seed:
        return ""
    least, greatest = min(by_seed.values()), max(by_seed.values())
    if least == greatest:
        return f"{least:,}"
    return f"{least:,} to {greatest:,}"


def _mean(row: RowResult, column: tuple[str, str]) -> str:
    undefined = row.undefined(column)
    if undefined:
        return f"undefined ({len(undefined)} of {len(row.scores[column])} seeds)"
    spread = row.spread(column)
    return "" if spread is None else str(spread)


def _compared(row: RowResult) -> tuple[Cell, ...]:
    """The cells under `COMPARED`."""
    comparison = row.comparison
    if comparison is None:
        return (*[""] * (len(COMPARED) - 1), verdict_of(row))
    value, detectable = comparison.difference.value, comparison.detectable
    return (
        number(value, "+.4f"),
        _interval(comparison.difference, "+.4f"),
        _p(comparison.corrected_p, "undefined"),
        _p(comparison.p_mcnemar, ""),
        number(comparison.effect, "+.2f", ""),
        number(detectable, ".4f"),
        verdict_of(row),
    )


def verdict_of(row: RowResult) -> str:
    """The verdict on a row, with the reason where it is untested; `reference` for a reference."""
    comparison = row.comparison
    if comparison is not None:
        if comparison.verdict == "untested":
            return f"untested ({comparison.reason})"
        return comparison.verdict
    if row.failed:
        return "untested (failed)"
    if row.against is None:
        return "reference"
    if row.apart:
        return "untested (other test rows)"
    return "untested (pending)"


def number(value: float | None, form: str, missing: str = "undefined") -> str:
    """A number in the form of a format specification, or what stands for a missing one."""
    return missing if value is None else f"{value:{form}}"


def interval(low: float | None, high: float | None, form: str, missing: str = "undefined") -> str:
    """The ends of an interval, or what stands for a missing one."""
    if low is None or high is None:
        return missing
    return f"{low:{form}} to {high:{form}}"


def _interval(estimate: Estimate | None, form: str = ".4f") -> str:
    return "" if estimate is None else interval(estimate.low, estimate.high, form)


def _p(p: float | None, missing: str) -> str:
    if p is not None and p < 0.001:
        return "<0.001"
    return number(p, ".3f", missing)


def _notes(result: StudyResult) -> list[str]:
    """What a reader must know beside the table."""
    notes = []
    if result.about:
        notes.append(result.about)
    sizes = {row.test_rows for row in result.rows} - {0}
    rows = ""
    if len(sizes) == 1:
        rows = f" ({max(sizes):,} rows)"
    notes.append(
        f"mean ± standard deviation over seeds; {_selection(result)}; test{rows} {_looks(result)};"
        f" its {LEVEL:.0%} interval holds for another draw of seeds and test rows, with one seed of"
        " rows alone"
    )
    if result.has_comparisons:
        notes += _notes_on_comparisons(result)
    notes += _notes_on_thresholds(result)
    if any(row.published for row in result.rows):
        notes.append(
            "published figures are of other encoders and other training, and some of other "
            "thresholds"
        )
    for row in result.rows:
        for seed, error in row.failed.items():
            notes.append(f"{row.name}, seed {seed}: {error}")
        if len(set(row.updates.values())) > 1:
            notes.append(WarningNote(f"{row.name} gave the target unequal updates over seeds"))
        notes += _notes_on_other_rows(row)
        notes += undefined_notes(row)
    return notes + _unequal_updates(result) + _unequal_examples(result)


def _notes_on_comparisons(result: StudyResult) -> list[str]:
    """What differences and verdicts are, and how rates were chosen."""
    reference = result.reference
    other, comma = f"'{reference.name}'", ""
    if result.several_references:
        other, comma = "the row that it stands against", ","
    equal = "exactly zero, that is to say equal predictions"
    if result.margin:
        equal = f"within {result.margin:g} of zero"
    notes = [
        (
            f"the difference is the row less {other}{comma} at the best checkpoint, paired by test"
            f" row and seed; its {LEVEL:.0%} interval holds for another draw of both; p is Holm's"
            " over this table; effect is in standard deviations over seeds; detectable is the"
            f" difference that is found with a power of {POWER:.0%}"
        ),
        (
            f"a verdict is on the claim that the row is better than {other}: supported (the"
            f" interval lies on the better side of zero and p is below {1 - LEVEL:.2g}),"
            f" contradicted (the same on the worse side), equivalent (the interval lies {equal}),"
            " inconclusive (anything else), untested (seeds or rows are missing, or there is one"
            " seed)"
        ),
        *rates_notes(result.rates),
    ]
    if reference.scoring.less_is_better:
        metric = reference.scoring.metric
        notes.append(f"{metric} is an error: below 0 the row is better than {other}")
    return notes


def _notes_on_thresholds(result: StudyResult) -> list[str]:
    """At which thresholds rows are compared, where labels are decided by thresholds."""
    scoring = result.reference.scoring
    if scoring.way is not None:
        thresholds = "one threshold for all labels"
        if scoring.way == "tuned_by_label":
            thresholds = "a threshold for each label"
        return [
            f"{scoring.metric}: each run at its own thresholds, {thresholds}, tuned on its "
            "validation rows; on validation itself cross-fitted; intervals take the thresholds as "
            "given"
        ]
    if scoring.tuned is not None:
        return [
            f"{scoring.metric} is at one fixed threshold in every row, which favours rows whose "
            f'probabilities are higher: `metric = "{scoring.tuned}"` compares each row at its own'
        ]
    return []


def _selection(result: StudyResult) -> str:
    """What chose the best checkpoints, in words: one metric for all rows, or those of each."""
    rows_by_metric: dict[str, list[str]] = {}
    for row in result.rows:
        if row.chosen_by:
            rows_by_metric.setdefault(" or ".join(row.chosen_by), []).append(row.name)
    words = "the best checkpoint is chosen on validation"
    if len(rows_by_metric) == 1:
        return f"{words} by {next(iter(rows_by_metric))}"
    each = [f"by {metric} ({', '.join(rows)})" for metric, rows in rows_by_metric.items()]
    return f"{words} {'; '.join(each)}".rstrip()


def _looks(result: StudyResult) -> str:
    """How often checkpoints were scored on test, in words."""
    often = []
    for row in result.rows:
        for seed, looks in row.looks.items():
            if looks > 1:
                often.append(f"{row.name}, seed {seed}: {looks} times")
    if not often:
        return "was scored once for each run and checkpoint"
    return f"was scored more than once for a run and checkpoint ({'; '.join(often)})"


def _notes_on_other_rows(row: RowResult) -> list[str]:
    """What was scored on other rows than the runs' own, or than those of the row's reference."""
    notes = []
    if row.elsewhere:
        seeds = ", ".join(map(str, row.elsewhere))
        notes.append(
            f"{row.name}, seed {seeds}: test was scored on other rows too (`--allow-changed "
            "data`); the table holds the scores of the run's own rows alone"
        )
    if row.apart:
        notes.append(WarningNote(f"{row.name} is not compared: {row.apart}"))
    return notes


def undefined_notes(row: RowResult) -> list[str]:
    """What is undefined in a row, and why it has no interval, and so is untested."""
    notes = []
    for column in COLUMNS:
        seeds = ", ".join(map(str, row.undefined(column)))
        if seeds:
            where = f"{row.scoring.metric} on {', '.join(column)}"
            notes.append(f"{row.name}, seed {seeds}: {where}, is undefined")
    estimates = {"the interval of test": row.own}
    if row.comparison is not None:
        estimates["the difference"] = row.comparison.difference
    for name, estimate in estimates.items():
        reason = _why_undefined(estimate)
        if reason:
            notes.append(f"{row.name}: {name} {reason}")
    return notes


def _why_undefined(estimate: Estimate | None) -> str:
    """Why an estimate has no interval, or what its interval leaves out; "" for a complete one."""
    if estimate is None:
        return ""
    if estimate.value is None:
        return "is undefined, as the metric of a seed is"
    if estimate.undefined:
        return f"is of a metric that is {estimate.undefined_note}"
    if estimate.low is None:
        return (
            "is not known: nothing varies over seeds and samples of the rows, or there is one row"
        )
    if estimate.clipped:
        return "ends where the metric does"
    return ""


def _unequal_updates(result: StudyResult) -> list[str]:
    """Comparisons whose rows trained the target unequally often."""
    notes: list[str] = []
    for reference in dict.fromkeys(row.against or row.name for row in result.rows):
        updates = set()
        for row in result.rows:
            if reference in (row.name, row.against) and row.updates:
                updates.add(max(row.updates.values()))
        if len(updates) > 1:
            which = f" against '{reference}'" if result.several_references else ""
            numbers = f"{min(updates):,} to {max(updates):,}"
            notes.append(WarningNote(f"rows{which} gave the target unequal updates ({numbers})"))
    return notes


def _unequal_examples(result: StudyResult) -> list[str]:
    """Rows that trained the target on more or fewer labelled examples than their reference.

    With `per_step = "all"` the tasks share the examples of a step, so a task has fewer of them
    beside another one.
    """
    rows = result.by_name
    notes: list[str] = []
    for row in result.rows:
        other = rows[row.against or row.name]
        own, others = row.mean_examples, other.mean_examples
        if own is None or others is None or abs(own - others) <= SAME_EXAMPLES * max(own, others):
            continue
        unequal = f"'{row.name}' gave the target {own:,.0f} labelled examples"
        notes.append(
            WarningNote(
                f"{unequal}, '{other.name}' {others:,.0f}: equal updates are no equal training "
                '(with `per_step = "all"`, a sampler that gives the target as many in both, or a '
                "`batch_size` of its own)"
            )
        )
    return notes

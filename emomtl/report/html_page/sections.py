"""What a page on runs shows, in the order in which it is read: scores, comparisons, labels, curves, differences, environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Cell, Picture, Table, WarningNote
from emomtl.report.cells import spelt
from emomtl.report.collect import RunResult
from emomtl.report.differing import differing, shortened, told
from emomtl.report.drawing import as_svg
from emomtl.report.figures import pictures
from emomtl.report.html_page.page import Section
from emomtl.report.html_page.svg import inline
from emomtl.report.pairs import pairs_table
from emomtl.report.parts import Part
from emomtl.report.sampling import sampling_table
from emomtl.report.scores import Scored, label_tables, looks, scored, task_tables
from emomtl.report.tables import runs_table

if TYPE_CHECKING:
    from markupsafe import Markup


def sections_of(results: Sequence[RunResult], split: str, parts: Sequence[Part] = ()) -> list[Section]:
    """The sections of a page on these runs, with scores of one split; `parts` stand before what is said of training."""
    more = [section for part in parts for section in _of_part(part)]
    found = scored(results, split)
    made = [
        Section("Single-task beside multi-task", pairs_table(found, split)),
        Section(f"Scores on {split}", task_tables(found, split)),
        Section(
            "Labels", label_tables(found, split), about="Press a heading to sort by its column; type to filter.", closed=True
        ),
        *more,
        Section("Training", [runs_table(results), *sampling_table(results)], shown(pictures(results))),
        Section("Looks", looks(results)),
        Section("Manifests", list(_manifests(results)), closed=True),
        Section("Environment and data", list(_environments(results)), closed=True),
    ]
    return [section for section in made if section.tables or section.pictures or section in more]


def _of_part(part: Part) -> Iterator[Section]:
    """A part as a section, and its tables as another where they stand aside."""
    yield Section(part.title, () if part.aside else part.tables, shown(part.pictures), part.about)
    if part.aside:
        yield Section(f"{part.title}: tables", part.tables, closed=True)


def shown(pictures: Sequence[Picture]) -> list[tuple[str, Markup]]:
    """Pictures as a page shows them: caption and markup."""
    return [(one.caption, inline(as_svg(one.figure), one.caption)) for one in pictures]


def summary_of(results: Sequence[RunResult], split: str) -> str:
    """What came out, in a sentence: the best main metric of each task, and whose it is."""
    found = scored(results, split)
    said = []
    for task in dict.fromkeys(one.task for one in found):
        best = [one for one in found if one.task == task and one.which == "best"]
        # runs with other heads have other metrics
        for metric in dict.fromkeys(one.facts.main_metric for one in best):
            if metric is not None:
                alike = [one for one in best if one.facts.main_metric == metric]
                said.append(_best(alike, metric, len(results) > 1))
    runs = "1 run" if len(results) == 1 else f"{len(results)} runs"
    return f"{runs}; best checkpoints on {split}: {', '.join(said)}." if said else f"{runs}, none of them scored on {split} yet."


def _best(found: Sequence[Scored], metric: str, several: bool) -> str:
    """Of one task's scores by one metric the best, in words: the least of an error, else the most."""
    known = [(one, value) for one in found if (value := one.metrics.get(metric)) is not None]
    if not known:
        return f"{found[0].task} {metric} undefined"
    sign = -1 if found[0].facts.less_is_better(metric) else 1
    one, value = max(known, key=lambda entry: sign * entry[1])
    less = " (less is better)" if sign < 0 else ""
    return f"{one.task} {metric} {spelt(value)}{less}" + (f" ({one.result.name})" if several else "")


def warnings_of(sections: Sequence[Section]) -> list[str]:
    """What the notes of all tables warn of, each once."""
    notes = [note for section in sections for table in section.tables for note in table.notes]
    return list(dict.fromkeys(note.about for note in notes if isinstance(note, WarningNote)))


def _manifests(results: Sequence[RunResult]) -> Iterator[Table]:
    """Where each run's manifest differs from the first one's."""
    first = results[0]
    for result in results[1:]:
        names = ("key", first.name, result.name)
        yield differing(f"{result.name} against {first.name}", names, told(first.manifest), told(result.manifest))


def _environments(results: Sequence[RunResult]) -> Iterator[Table]:
    """Where and on what the runs were trained, a column a run."""
    keys = dict.fromkeys(key for result in results for key in result.environment if key not in ("data", "plugins"))
    rows: list[tuple[Cell, ...]] = [(key, *(shortened(result.environment.get(key)) for result in results)) for key in keys]
    yield Table("Environment", ("what", *(result.name for result in results)), tuple(rows))
    tasks = dict.fromkeys(task for result in results for task in result.environment.get("data", {}))
    prints: list[tuple[Cell, ...]] = [
        (task, *(shortened(result.environment.get("data", {}).get(task)) for result in results)) for task in tasks
    ]
    yield Table("Fingerprints of rows (SHA-256)", ("task", *(result.name for result in results)), tuple(prints))

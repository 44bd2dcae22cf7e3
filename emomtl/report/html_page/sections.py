"""What a page on runs shows, in reading order: scores, comparisons, labels, curves, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.analysis import Picture, Table, WarningNote
from emomtl.report.cells import spelt
from emomtl.report.collect import RunResult
from emomtl.report.drawing import as_svg
from emomtl.report.figures import pictures
from emomtl.report.html_page.page import Section
from emomtl.report.html_page.svg import inline
from emomtl.report.pairs import pairs_table
from emomtl.report.parts import Part
from emomtl.report.provenance import environment_tables, manifest_table
from emomtl.report.sampling import sampling_table
from emomtl.report.scores import Scored, label_tables, looks, scored, task_tables
from emomtl.report.tables import runs_table

if TYPE_CHECKING:
    from markupsafe import Markup

HOW_TO_SORT = "Press a heading to sort by its column; type to filter."


def sections_of(
    results: Sequence[RunResult], split: str, parts: Sequence[Part] = ()
) -> list[Section]:
    """The sections of a page, with scores of one split; `parts` stand before those on training."""
    scores = scored(results, split)
    labels = label_tables(scores, split)
    training = [runs_table(results), *sampling_table(results)]
    provenance = list(environment_tables(results))
    sections = [
        Section("Single-task beside multi-task", pairs_table(scores, split)),
        Section(f"Scores on {split}", task_tables(scores, split)),
        Section("Labels", labels, about=HOW_TO_SORT, closed=True),
    ]
    for part in parts:
        sections += _of_part(part)
    sections += [
        Section("Training", training, shown(pictures(results))),
        Section("Looks", looks(results)),
        Section("Manifests", list(_manifests(results)), closed=True),
        Section("Environment and data", provenance, closed=True),
    ]
    of_parts = {part.title for part in parts}
    return [one for one in sections if one.tables or one.pictures or one.title in of_parts]


def _of_part(part: Part) -> Iterator[Section]:
    """A part as a section, and its tables as another where they stand aside."""
    tables = () if part.aside else part.tables
    yield Section(part.title, tables, shown(part.pictures), part.about)
    if part.aside:
        yield Section(f"{part.title}: tables", part.tables, closed=True)


def shown(pictures: Sequence[Picture]) -> list[tuple[str, Markup]]:
    """Pictures as a page shows them: caption and markup.

    What files have as pixels is drawn as shapes here: the page's policy lets no image in.
    """
    for picture in pictures:
        for artist in picture.figure.findobj():
            artist.set_rasterized(False)
    return [(one.caption, inline(as_svg(one.figure), one.caption)) for one in pictures]


def summary_of(results: Sequence[RunResult], split: str) -> str:
    """What came out, in a sentence: the best main metric of each task, and whose it is."""
    by_metric: dict[tuple[str, str], list[Scored]] = {}
    for scores in scored(results, split):
        metric = scores.facts.main_metric
        # runs with other heads have other metrics
        if scores.which == "best" and metric is not None:
            by_metric.setdefault((scores.task, metric), []).append(scores)
    runs = "1 run" if len(results) == 1 else f"{len(results)} runs"
    if not by_metric:
        return f"{runs}, none of them scored on {split} yet."
    best = [_best(scores, metric, len(results) > 1) for (_, metric), scores in by_metric.items()]
    return f"{runs}; best checkpoints on {split}: {', '.join(best)}."


def _best(of_task: Sequence[Scored], metric: str, with_run: bool) -> str:
    """The best of one task by one metric, in words: the least of an error, else the most."""
    task, is_error = of_task[0].task, of_task[0].facts.less_is_better(metric)
    values: list[tuple[float, str]] = []
    for scores in of_task:
        value = scores.metrics.get(metric)
        if value is not None:
            values.append((value, scores.result.name))
    if not values:
        return f"{task} {metric} undefined"
    value, run = (min if is_error else max)(values, key=lambda entry: entry[0])
    less = " (less is better)" if is_error else ""
    return f"{task} {metric} {spelt(value)}{less}" + (f" ({run})" if with_run else "")


def warnings_of(sections: Sequence[Section]) -> list[str]:
    """What the notes of all tables warn of, each once."""
    warnings: dict[str, None] = {}
    for section in sections:
        for table in section.tables:
            for note in table.notes:
                if isinstance(note, WarningNote):
                    warnings[note.about] = None
    return list(warnings)


def _manifests(results: Sequence[RunResult]) -> Iterator[Table]:
    """Where each run's manifest differs from the first one's."""
    first = results[0]
    for result in results[1:]:
        yield manifest_table((first.name, first.manifest), (result.name, result.manifest))

"""`emomtl eval`, `report` and `predict`: what comes after a run."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emomtl.analysis.answers import Part
    from emomtl.predict import Predictor
    from emomtl.report.collect import RunResult
    from emomtl.report.html import Section

RunArgument = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Checkpoint = Annotated[str, typer.Option("--checkpoint", help="`best`, `last`, or a step that was kept.")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")]
Device = Annotated[str, typer.Option("--device", help="`auto`, `cpu` or `cuda`.")]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
]


def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option("--split", help="`validation`, `test` or `train`.")] = "validation",
    task: Tasks = None,
    checkpoint: Checkpoint = "best",
    source: Sources = None,
    allow_changed: Annotated[
        str | None, typer.Option("--allow-changed", metavar="data", help="Score rows that are not those of the training run.")
    ] = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Keep targets and probabilities in the run, for comparisons between runs.")
    ] = False,
    labels: Annotated[bool, typer.Option("--labels", help="Print the table of every label too.")] = False,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Score a run's checkpoint on a split; the scores are added to the run, and each look at test is counted."""
    from emomtl.cli.output import console, make_table, print_json, say, scores_json, scores_table, sources_of
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.plugins import Plugins
    from emomtl.sources import SPLITS
    from emomtl.trained import evaluate_run, open_trained

    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"'{split}' is no split", suggest(split, SPLITS)))
    if allow_changed not in (None, "data"):
        raise EmomtlError(Problem("--allow-changed", f"'{allow_changed}' is not known here", "data"))
    sources = sources_of(source or [])
    trained = open_trained(run, checkpoint, Plugins.discover(), device)
    trained.tasks(sources)
    scores, look, notes = evaluate_run(trained, split, task or [], sources, allow_changed == "data", checkpoint, answers)
    for note in notes:
        say(f"note: {note}")
    for name, one in scores.items():
        for line in one.undefined:
            say(f"note: {name}: {line}")
    say(f"look number {look} of {trained.checkpoint.path.name} at {split}")
    if json:
        print_json(scores_json(trained.run.name, split, scores))
        return
    console().print(scores_table(f"{trained.run.name}: {split}, step {trained.checkpoint.step:,}", {checkpoint: scores}))
    for name, one in scores.items() if labels else ():
        for grouping, rows in one.tables.items():
            columns = list(rows[0]) if rows else []
            title = f"{name}{'/' + grouping if grouping else ''}: labels on {split}"
            console().print(make_table(title, columns, [[row[column] for column in columns] for row in rows]))


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)],
    split: Annotated[
        str, typer.Option("--split", help="`validation` (scored by train) or `test` (scored by eval).")
    ] = "validation",
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as markdown to this file.")] = None,
    card: Annotated[Path | None, typer.Option("--card", help="Write a model card of the (one) run to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page to this file.")] = None,
    latex: Annotated[Path | None, typer.Option("--latex", help="Write the tables as LaTeX (booktabs) to this file.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the tables as CSV to this file.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Write every figure as PNG, SVG and PDF here.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Add worst errors, embedding spaces and gradients to the page; reads the corpora.")
    ] = False,
    errors: Annotated[int, typer.Option("--errors", min=0, help="With --full: worst rows of each task; 0 for none.")] = 20,
    source: Sources = None,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tables and figures of one or several runs, single-task beside multi-task."""
    import os

    from emomtl.analysis.answers import answered
    from emomtl.cli.output import console, print_json, say
    from emomtl.report.collect import collect
    from emomtl.report.csv import as_csv
    from emomtl.report.drawing import save_pictures
    from emomtl.report.figures import pictures as drawn
    from emomtl.report.json import as_json
    from emomtl.report.latex import latex as as_latex
    from emomtl.report.markdown import markdown as written
    from emomtl.report.tables import tables
    from emomtl.report.terminal import show
    from emomtl.run.files import write_bytes

    results = collect(runs)
    short = tables(results, split)
    more = _full(results, split, html, errors, source or [], device) if full else []
    parts = answered(results, split) if json or any((markdown, html, latex, csv, figures)) else []
    found = [*short, *(table for part in parts for table in part.tables)]
    pictures: dict[str, Path] = {}
    if figures is not None:
        pictures = save_pictures([*drawn(results), *(one for part in parts for one in part.pictures)], figures)
    for path in pictures.values():
        say(f"wrote {path}, .svg and .pdf")
    if markdown is not None:
        links = {caption: os.path.relpath(path, markdown.parent) for caption, path in pictures.items()}
        write_bytes(markdown, written(found, links).encode())
        say(f"wrote {markdown}")
    for out, write in ((latex, as_latex), (csv, as_csv)):
        if out is not None:
            write_bytes(out, write(found).encode())
            say(f"wrote {out}")
    if card is not None:
        write_bytes(card, _card(runs).encode())
        say(f"wrote {card}")
    if html is not None:
        write_bytes(html, _page(results, split, parts, more).encode())
        say(f"wrote {html}")
    if json:
        print_json(as_json(results, found))
    else:
        show(short, console())


def _card(runs: Sequence[Path]) -> str:
    """The model card of a run."""
    from emomtl.analysis.card import model_card
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins import Plugins
    from emomtl.trained import open_run

    if len(runs) != 1:
        raise EmomtlError(Problem("--card", f"{len(runs)} runs are given", "a card is of one run"))
    opened = open_run(runs[0], "best", Plugins.discover())
    return model_card(opened.run, opened.plan)


def _full(
    results: Sequence[RunResult], split: str, html: Path | None, errors: int, source: Sequence[str], device: str
) -> list[Section]:
    """The sections of `--full`, which need the models and the corpora."""
    from emomtl.analysis.sections.full import full_sections
    from emomtl.cli.output import say, sources_of
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.plugins import Plugins
    from emomtl.sources import SPLITS

    if html is None:
        raise EmomtlError(Problem("--full", "there is no page to put it on", "--html FILE"))
    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"'{split}' is no split", suggest(split, SPLITS)))
    runs = {result.name: result.folder for result in results}
    return full_sections(runs, Plugins.discover, split, sources_of(source), device, errors, say)


def _page(results: Sequence[RunResult], split: str, parts: Sequence[Part], full: Sequence[Section]) -> str:
    """The page of a report, with what the kept answers tell, and what models and corpora do."""
    from emomtl import __version__
    from emomtl.report.html import Section, page, sections_of, shown, summary_of, warnings_of

    told: list[Section] = []
    for part in parts:
        told.append(Section(part.title, () if part.aside else part.tables, shown(part.pictures), part.about))
        if part.aside:
            told.append(Section(f"{part.title}: tables", part.tables, closed=True))
    sections = sections_of(results, split, [*told, *full])
    name = results[0].name if len(results) == 1 else f"{len(results)} runs"
    return page(f"emomtl: {name}", summary_of(results, split), sections, warnings_of(sections), __version__)


def predict(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT... | FILE]", help="Texts, or one CSV, TSV, JSONL or Parquet file with --out; left out, lines of stdin."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Read a file and write answers here, by its ending.")] = None,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column that holds the texts.")] = "text",
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the input's columns in the output file.")] = True,
    task: Tasks = None,
    checkpoint: Checkpoint = "best",
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a text, without the text.")] = False,
) -> None:
    """Labels and probabilities for texts, at every grouping of a task's labels."""
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins import Plugins
    from emomtl.predict import WRITERS, Predictor
    from emomtl.trained import open_trained

    given = inputs or []
    if out is not None and len(given) != 1:
        raise EmomtlError(Problem("--out", f"{len(given)} inputs are given", "name one file to read"))
    if out is None and len(given) == 1 and Path(given[0]).suffix.lower() in WRITERS and Path(given[0]).is_file():
        raise EmomtlError(Problem("--out", f"'{given[0]}' is a file", "name the file to write its answers to"))
    predictor = Predictor.of(open_trained(run, checkpoint, Plugins.discover(), device), task or [])
    if out is not None:
        _predict_file(predictor, Path(given[0]), out, text, keep)
    elif given:
        _print_answers(predictor, given, json)
    else:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # bytes that are no text are shown as such, and answered
        lines = (line.rstrip("\n") for line in sys.stdin)
        while batch := [line for _, line in zip(range(256), lines, strict=False)]:
            _print_answers(predictor, batch, json)


def _predict_file(predictor: Predictor, source: Path, out: Path, column: str, keep: bool) -> None:
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from emomtl.cli.output import console, say
    from emomtl.predict import predict_file

    columns = (TextColumn("predicting", markup=False), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("predicting", total=None)
        rows = predict_file(predictor, source, out, column, keep, lambda n: bar.advance(task, n))
    say(f"wrote {rows:,} rows to {out}")


def _print_answers(predictor: Predictor, texts: list[str], json: bool) -> None:
    """One JSON object a text; or the labels of each task and grouping with their probabilities."""
    import json as encoder

    from emomtl.cli.output import console
    from emomtl.errors import clean

    screen = console()
    hidden = any(bound.task.sensitive for bound in predictor.tasks.values())
    for number, (text, answer) in enumerate(zip(texts, predictor(texts), strict=True), 1):
        if json:
            print(encoder.dumps(answer, ensure_ascii=False, allow_nan=False))
            continue
        screen.print(f"text {number}" if hidden else clean(text, 200))
        for name, found in answer.items():
            screen.print(f"  {name}: {_said(found)}")
            for grouping, level in found.get("groupings", {}).items():
                screen.print(f"    {grouping}: {_said(level)}")


def _said(level: dict[str, Any]) -> str:
    if "values" in level:
        return ", ".join(f"{name} {value:.3f}" for name, value in level["values"].items())
    if level["labels"]:
        return ", ".join(f"{label} {level['probabilities'][label]:.3f}" for label in level["labels"])
    best, p = max(level["probabilities"].items(), key=lambda pair: pair[1])
    return f"none above the threshold (nearest: {best} {p:.3f})"

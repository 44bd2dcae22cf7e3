"""`emomtl eval` and `predict`: what comes after a run."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from emomtl.predict import Predictor

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
    unseen_labels: Annotated[
        str | None,
        typer.Option(
            "--unseen-labels",
            metavar="refuse|wrong",
            help="Rows with a label that the model does not have: refuse them, or count them as wrong.",
        ),
    ] = None,
    answers: Annotated[
        bool,
        typer.Option("--answers/--no-answers", help="Keep targets and probabilities in the run, for intervals and comparisons."),
    ] = True,
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
    unseen: Literal["refuse", "wrong"] | None = None
    if unseen_labels is not None:
        if unseen_labels not in ("refuse", "wrong"):
            raise EmomtlError(Problem("--unseen-labels", f"'{unseen_labels}' is not known here", "refuse, or wrong"))
        unseen = "wrong" if unseen_labels == "wrong" else "refuse"
    sources = sources_of(source or [])
    trained = open_trained(run, checkpoint, Plugins.discover(), device)
    trained.tasks(sources)
    scores, look, notes = evaluate_run(trained, split, task or [], sources, allow_changed == "data", checkpoint, answers, unseen)
    for note in notes:
        say(f"note: {note}")
    for name, one in scores.items():
        for line in one.said:
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
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Copy the input's columns into the output file.")] = False,
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


LONGEST = 100_000
"""Characters of a line of answers; more than any head gives."""


def _print_answers(predictor: Predictor, texts: list[str], json: bool) -> None:
    """One JSON object a text; or the labels of each task and grouping with their probabilities."""
    from emomtl.cli.output import console
    from emomtl.errors import clean
    from emomtl.plain import json_text

    screen = console()
    hidden = any(bound.task.sensitive for bound in predictor.tasks.values())
    for number, (text, answer) in enumerate(zip(texts, predictor(texts), strict=True), 1):
        if json:
            print(json_text(answer))
            continue
        screen.print(f"text {number}" if hidden else clean(text, 200))
        for name, found in answer.items():
            screen.print(clean(f"  {name}: {_said(found)}", LONGEST))
            for grouping, level in found.get("groupings", {}).items():
                screen.print(clean(f"    {grouping}: {_said(level)}", LONGEST))


def _said(level: dict[str, Any]) -> str:
    if "values" in level:
        return ", ".join(f"{name} {value:.3f}" for name, value in level["values"].items())
    if level["labels"]:
        return ", ".join(f"{label} {level['probabilities'][label]:.3f}" for label in level["labels"])
    best, p = max(level["probabilities"].items(), key=lambda pair: pair[1])
    return f"none above the threshold (nearest: {best} {p:.3f})"

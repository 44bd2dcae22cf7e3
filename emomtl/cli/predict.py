"""`emomtl predict`: labels and probabilities for texts, for lines of stdin, and for files."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from emomtl.cli.options import Checkpoint, Device, RunArgument, Tasks, Trust, Weights

if TYPE_CHECKING:
    from emomtl.inference.predict import FileOptions, Output, Predictor

STDIN_BATCH = 256
"""Lines of stdin that are predicted together, unless a person types them."""

LONGEST = 100_000
"""Characters of a printed line; more than any head's predictions need."""


def predict(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None,
        Argument(
            metavar="[TEXT... | FILE]",
            help="Texts, or one file with --out; left out, lines of stdin.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            help="Read a file (CSV, TSV, JSONL, Parquet; .txt: one text a line) and write "
            "predictions here, by its ending."
        ),
    ] = None,
    text: Annotated[
        str | None, Option(metavar="COLUMN", help="The column that holds the texts.")
    ] = None,
    pair: Annotated[
        str | None, Option(metavar="COLUMN", help="The column that holds the second texts.")
    ] = None,
    delimiter: Annotated[
        str | None, Option(metavar="CHARACTER", help="What stands between two cells; `tab` is one.")
    ] = None,
    encoding: Annotated[
        str | None, Option(help="The file's encoding, such as utf-8 or cp1252.")
    ] = None,
    header: Annotated[
        bool | None,
        Option(help="Whether the first row names the columns; else they are called 1, 2, ..."),
    ] = None,
    quoting: Annotated[
        Literal["csv", "none"] | None,
        Option(help="`none`: a quote is a plain character of a CSV or TSV file."),
    ] = None,
    keep: Annotated[bool, Option(help="Copy the input's columns into the output file.")] = False,
    spreadsheet_safe: Annotated[
        bool,
        Option(
            "--spreadsheet-safe",
            help="Put ' before cells of CSV and TSV that a spreadsheet would compute.",
        ),
    ] = False,
    only_labels: Annotated[
        bool, Option("--labels-only", help="Leave the probabilities out.")
    ] = False,
    thresholds: Annotated[
        str,
        Option(
            metavar="fixed|tuned|tuned-by-label|NUMBER|FILE.json",
            help="From which probability a label is predicted: the head's own threshold, "
            "one tuned on validation, or as given.",
        ),
    ] = "fixed",
    task: Tasks = None,
    checkpoint: Checkpoint = "best",
    weights: Weights = None,
    trust_plugins: Trust = False,
    device: Device = "auto",
    json: Annotated[
        bool, Option("--json", help="One JSON object a text, without the text.")
    ] = False,
) -> None:
    """Labels and probabilities for texts, at every grouping of a task's labels.

    A file is read as the run's own tasks read theirs, unless --text, --pair, --delimiter,
    --encoding or --header say otherwise.
    """
    from emomtl.inference.predict import FileOptions, Output, Predictor
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    texts, tasks = inputs or [], task or []
    if delimiter in ("tab", "\\t"):  # as shells let one write it
        delimiter = "\t"
    options = FileOptions(text, pair, delimiter, encoding, header, quoting)
    if out is not None:
        _check_file_arguments(texts, out, json)
    else:
        flags = {"--keep": keep, "--spreadsheet-safe": spreadsheet_safe}
        _check_text_arguments(texts, options, flags)
    trained = open_trained(run, checkpoint, Plugins.discover(trust_plugins), device, weights)
    predictor = _with_thresholds(Predictor.of(trained, tasks), thresholds)
    if out is not None:
        output = Output(out, keep, only_labels, spreadsheet_safe)
        _predict_file(predictor, Path(texts[0]), output, options, tasks)
        return
    predictor = _without_pairs(predictor, tasks)
    for batch in [texts] if texts else _lines_of_stdin():
        _print_predictions(predictor, batch, json, only_labels)


def _check_file_arguments(inputs: list[str], out: Path, json: bool) -> None:
    """Refuse what does not go together with --out."""
    from emomtl.errors import EmomtlError, Problem
    from emomtl.inference.predict import check_out

    if len(inputs) != 1:
        raise EmomtlError(
            Problem("--out", f"{len(inputs)} inputs are given", "name one file to read")
        )
    if json:
        found = "is for predictions that are printed"
        raise EmomtlError(Problem("--json", found, "leave it out; --out FILE.jsonl writes JSON"))
    check_out(out, Path(inputs[0]))


def _check_text_arguments(texts: list[str], options: FileOptions, flags: dict[str, bool]) -> None:
    """Refuse options that are about files, and texts that are names of files."""
    from emomtl.errors import EmomtlError, Problem

    for text in texts:
        _refuse_file(text)
    about_files = []
    for name, value in asdict(options).items():
        if value is not None:
            about_files.append("--header or --no-header" if name == "header" else f"--{name}")
    about_files += [name for name, is_set in flags.items() if is_set]
    if about_files:
        found = "is about a file, and texts are given"
        raise EmomtlError(Problem(about_files[0], found, "name a file, and --out"))


def _refuse_file(text: str) -> None:
    """Refuse a text that is a file's name: the texts in the file may be meant, or the words."""
    from emomtl.data.source_file import KINDS
    from emomtl.errors import EmomtlError, Problem, clean

    if text and os.path.isdir(text):
        found = "is a folder"
    elif text and os.path.exists(text):
        found = "is a file"
    elif Path(text).suffix.lower() in (*KINDS, ".txt") and len(text.split()) == 1:
        found = "is named like a file, and is not there"
    else:
        return
    remedy = (
        "--out FILE predicts for the texts in a file; words that are a file's name are read from "
        "stdin, one text a line"
    )
    raise EmomtlError(Problem("predict", f"'{clean(text, 200)}' {found}", remedy))


def _with_thresholds(predictor: Predictor, choice: str) -> Predictor:
    """The predictor with the thresholds of `--thresholds`; notes say which they are."""
    from emomtl.cli.output import say
    from emomtl.inference.predict import chosen_thresholds

    values, notes = chosen_thresholds(choice, predictor.trained, predictor.tasks)
    for note in notes:
        say(f"note: {note}")
    return replace(predictor, thresholds=values)


def _without_pairs(predictor: Predictor, tasks: list[str]) -> Predictor:
    """The predictor without tasks that need a second text; a note names them."""
    from emomtl.cli.output import say

    if predictor.paired:
        names = ", ".join(sorted(predictor.paired))
        remedy = "trained on pairs; --out with --pair predicts for a file of them"
        say(f"note: left out, as there is no second text: {names} ({remedy})")
    return predictor.without_pairs(tasks)


def _lines_of_stdin() -> Iterator[list[str]]:
    """The lines of stdin: one by one where a person types them, else many at a time."""
    from emomtl.cli.output import say

    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no text become U+FFFD instead of ending the command.
        sys.stdin.reconfigure(errors="replace")
    is_typed = sys.stdin.isatty()
    if is_typed:
        say("one text a line; Ctrl-D ends")
    # Not the file's iterator, which waits for a whole block of a pipe.
    lines = (line.removesuffix("\n") for line in iter(sys.stdin.readline, ""))
    while batch := list(islice(lines, 1 if is_typed else STDIN_BATCH)):
        yield batch


def _predict_file(
    predictor: Predictor, source: Path, output: Output, options: FileOptions, tasks: list[str]
) -> None:
    """Predict for the rows of a file, and print what became of it."""
    from emomtl.cli.output import say
    from emomtl.cli.progress import counting
    from emomtl.errors import clean
    from emomtl.inference.predict import open_texts, predict_file

    texts = open_texts(source, predictor, options)
    if texts.pair is None:
        predictor = _without_pairs(predictor, tasks)
    say(f"note: {texts.described()}")
    with counting("predicting") as progress:
        written = predict_file(predictor, texts, replace(output, progress=progress))
    if written.empty:
        say(f"note: {written.empty:,} empty texts are predicted like any other")
    if written.left_out:
        names = "" if predictor.sensitive else f": {', '.join(map(clean, written.left_out))}"
        found = f"{len(written.left_out)} columns with structs or maps inside are not copied"
        say(f"note: {found}{names}")
    say(f"wrote {written.rows:,} rows to {output.path}")


def _print_predictions(
    predictor: Predictor, texts: list[str], json: bool, only_labels: bool
) -> None:
    """One JSON object a text; or the labels of each task and grouping with their probabilities."""
    from emomtl.cli.output import console
    from emomtl.errors import clean
    from emomtl.inference.predict import labels_only
    from emomtl.safety.escaping import json_text

    screen = console()
    for number, (text, prediction) in enumerate(zip(texts, predictor(texts), strict=True), 1):
        if json:
            shown = labels_only(prediction) if only_labels else prediction
            print(json_text(shown), flush=True)
            continue
        screen.print(f"text {number}" if predictor.sensitive else clean(text, 200))
        for task, labels in prediction.items():
            screen.print(clean(f"  {task}: {_in_words(labels, only_labels)}", LONGEST))
            for grouping, level in labels.get("groupings", {}).items():
                line = f"    {grouping}: {_in_words(level, only_labels)}"
                screen.print(clean(line, LONGEST))


def _in_words(level: dict[str, Any], only_labels: bool) -> str:
    """The labels of a task or grouping with their probabilities; of a regression its values."""
    if "values" in level:
        return ", ".join(f"{name} {value:.4f}" for name, value in level["values"].items())
    labels, probabilities = level["labels"], level.get("probabilities", {})
    if only_labels:
        return ", ".join(labels) or "none above the threshold"
    if labels:
        return ", ".join(f"{label} {probabilities[label]:.4f}" for label in labels)
    nearest = max(probabilities, key=probabilities.__getitem__)
    return f"none above the threshold (nearest: {nearest} {probabilities[nearest]:.4f})"

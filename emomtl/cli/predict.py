"""`emomtl predict`: labels and probabilities for texts, for lines of stdin, and for files."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emomtl.cli.results import Checkpoint, Device, RunArgument, Tasks, Trust, Weights

if TYPE_CHECKING:
    from emomtl.inference.predict import FileOptions, Output, Predictor

Thresholds = Annotated[
    str,
    typer.Option(
        "--thresholds",
        metavar="fixed|tuned|tuned-by-label|NUMBER|FILE.json",
        help="From which probability labels are answered: the head's own, tuned on validation, or as given.",
    ),
]

STDIN_BATCH = 256
"""Lines of stdin that are answered together where nobody waits for the answer to each."""

LONGEST = 100_000
"""Characters of a line of answers; more than any head gives."""


def predict(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT... | FILE]", help="Texts, or one file with --out; left out, lines of stdin."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Read a file (CSV, TSV, JSONL, Parquet; .txt: one text a line) and write answers here, by its ending."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="The column that holds the texts.")] = None,
    pair: Annotated[str | None, typer.Option("--pair", metavar="COLUMN", help="The column that holds the second texts.")] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", metavar="CHARACTER", help="What stands between two cells; `tab` is one.")
    ] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="The file's encoding, such as utf-8 or cp1252.")] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first row names the columns; else they are called 1, 2, ..."),
    ] = None,
    quoting: Annotated[
        str | None,
        typer.Option("--quoting", metavar="csv|none", help="`none`: a quote is a plain character of a CSV or TSV file."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Copy the input's columns into the output file.")] = False,
    spreadsheet_safe: Annotated[
        bool, typer.Option("--spreadsheet-safe", help="Put ' before cells of CSV and TSV that a spreadsheet would compute.")
    ] = False,
    only_labels: Annotated[bool, typer.Option("--labels-only", help="Leave the probabilities out.")] = False,
    thresholds: Thresholds = "fixed",
    task: Tasks = None,
    checkpoint: Checkpoint = "best",
    weights: Weights = None,
    trust_plugins: Trust = False,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a text, without the text.")] = False,
) -> None:
    """Labels and probabilities for texts, at every grouping of a task's labels.

    A file is read as the run's own tasks read theirs, unless --text, --pair, --delimiter, --encoding or --header say otherwise.
    """
    from emomtl.inference.predict import FileOptions, Output, Predictor
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    given, wanted = inputs or [], task or []
    options = FileOptions(text, pair, _character(delimiter), encoding, header, _quoting(quoting))
    flags = {"--keep": keep, "--spreadsheet-safe": spreadsheet_safe}
    _check_arguments(given, out, options, [name for name, value in flags.items() if value], json)
    predictor = Predictor.of(open_trained(run, checkpoint, Plugins.discover(trust_plugins), device, weights), wanted)
    predictor = _with_thresholds(predictor, thresholds)
    if out is not None:
        output = Output(out, keep, only_labels, spreadsheet_safe)
        _predict_file(predictor, Path(given[0]), output, options, wanted)
        return
    predictor = _without_pairs(predictor, wanted)
    if given:
        _print_answers(predictor, given, json, only_labels)
    else:
        for batch in _lines_of_stdin():
            _print_answers(predictor, batch, json, only_labels)


def _with_thresholds(predictor: Predictor, choice: str) -> Predictor:
    """The predictor with the thresholds that are chosen, which are said."""
    from dataclasses import replace

    from emomtl.cli.output import say
    from emomtl.inference.predict import chosen_thresholds

    values, said = chosen_thresholds(choice, predictor.trained, predictor.tasks)
    for line in said:
        say(f"note: {line}")
    return replace(predictor, thresholds=values)


def _character(delimiter: str | None) -> str | None:
    r"""A delimiter as shells let one write it: `tab` and `\t` are a tab."""
    return "\t" if delimiter in ("tab", "\\t") else delimiter


def _quoting(quoting: str | None) -> Literal["csv", "none"] | None:
    """How quotes are read."""
    from emomtl.errors import EmomtlError, Problem, clean

    if quoting is None:
        return None
    if quoting == "csv":
        return "csv"
    if quoting == "none":
        return "none"
    raise EmomtlError(Problem("--quoting", f"'{clean(quoting)}' is not known", "csv or none"))


def _check_arguments(given: list[str], out: Path | None, options: FileOptions, flags: list[str], json: bool) -> None:
    """Refuse what does not go together, and a text that is the name of a file."""
    from dataclasses import asdict

    from emomtl.errors import EmomtlError, Problem
    from emomtl.inference.predict import check_out

    if out is not None:
        if len(given) != 1:
            raise EmomtlError(Problem("--out", f"{len(given)} inputs are given", "name one file to read"))
        if json:
            raise EmomtlError(Problem("--json", "is for answers that are printed", "leave it out; --out FILE.jsonl writes JSON"))
        check_out(out, Path(given[0]))
        return
    for one in given:
        _refuse_file(one)
    told = {"header": "--header or --no-header"}
    about_files = [told.get(name, f"--{name}") for name, value in asdict(options).items() if value is not None] + flags
    if about_files:
        raise EmomtlError(Problem(about_files[0], "is about a file, and texts are answered", "name a file, and --out"))


def _refuse_file(text: str) -> None:
    """Refuse a text that names a file, or seems to: what the file holds may be meant, or the words themselves."""
    from emomtl.data.source_file import KINDS
    from emomtl.errors import EmomtlError, Problem, clean

    there = bool(text) and os.path.exists(text)
    named_so = Path(text).suffix.lower() in (*KINDS, ".txt") and not any(map(str.isspace, text))
    if there or named_so:
        what = (
            "is a folder" if there and os.path.isdir(text) else "is a file" if there else "is named like a file, and is not there"
        )
        remedy = "--out FILE answers for the texts in a file; words that are a file's name are answered on stdin, one text a line"
        raise EmomtlError(Problem("predict", f"'{clean(text, 200)}' {what}", remedy))


def _without_pairs(predictor: Predictor, wanted: list[str]) -> Predictor:
    """The tasks that need no second text; those that do are named."""
    from emomtl.cli.output import say

    found = predictor.without_pairs(wanted)
    if predictor.paired:
        left = ", ".join(sorted(predictor.paired))
        say(
            f"note: left out, as there is no second text: {left} (trained on pairs; --out with --pair answers for a file of them)"
        )
    return found


def _lines_of_stdin() -> Iterator[list[str]]:
    """The lines of stdin: one by one where a person types them, else many at a time."""
    from emomtl.cli.output import say

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are shown as such, and answered
    typed = sys.stdin.isatty()
    if typed:
        say("one text a line; Ctrl-D ends")
    # `readline` and not the iterator of the file, which waits for a whole block of a pipe.
    lines = (line.removesuffix("\n") for line in iter(sys.stdin.readline, ""))
    while batch := list(islice(lines, 1 if typed else STDIN_BATCH)):
        yield batch


def _predict_file(predictor: Predictor, source: Path, output: Output, options: FileOptions, wanted: list[str]) -> None:
    from dataclasses import replace

    from emomtl.cli.output import say
    from emomtl.cli.progress import counting
    from emomtl.errors import clean
    from emomtl.inference.predict import open_texts, predict_file

    texts = open_texts(source, predictor, options)
    if texts.pair is None:
        predictor = _without_pairs(predictor, wanted)
    say(f"note: {texts.described()}")
    with counting("predicting") as progress:
        done = predict_file(predictor, texts, replace(output, progress=progress))
    if done.empty:
        say(f"note: {done.empty:,} empty texts are answered like any other")
    if done.left_out:
        names = "" if predictor.sensitive else f": {', '.join(map(clean, done.left_out))}"
        say(f"note: {len(done.left_out)} columns with structs or maps inside are not copied{names}")
    say(f"wrote {done.rows:,} rows to {output.path}")


def _print_answers(predictor: Predictor, texts: list[str], json: bool, only_labels: bool) -> None:
    """One JSON object a text; or the labels of each task and grouping with their probabilities."""
    from emomtl.cli.output import console
    from emomtl.errors import clean
    from emomtl.inference.predict import labels_only
    from emomtl.safety.escaping import json_text

    screen = console()
    for number, (text, answer) in enumerate(zip(texts, predictor(texts), strict=True), 1):
        if json:
            print(json_text(labels_only(answer) if only_labels else answer), flush=True)
            continue
        screen.print(f"text {number}" if predictor.sensitive else clean(text, 200))
        for name, found in answer.items():
            screen.print(clean(f"  {name}: {_said(found, only_labels)}", LONGEST))
            for grouping, level in found.get("groupings", {}).items():
                screen.print(clean(f"    {grouping}: {_said(level, only_labels)}", LONGEST))


def _said(level: dict[str, Any], only_labels: bool) -> str:
    """One level of an answer in words; probabilities and numbers have four digits."""
    if "values" in level:
        return ", ".join(f"{name} {value:.4f}" for name, value in level["values"].items())
    if only_labels:
        return ", ".join(level["labels"]) or "none above the threshold"
    if level["labels"]:
        return ", ".join(f"{label} {level['probabilities'][label]:.4f}" for label in level["labels"])
    best, p = max(level["probabilities"].items(), key=lambda pair: pair[1])
    return f"none above the threshold (nearest: {best} {p:.4f})"

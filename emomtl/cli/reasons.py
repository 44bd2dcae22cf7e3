"""`emomtl analyse attribution` and `gap`: what is said for multi-task learning, asked of runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from emomtl.cli.results import Trust

Runs = Annotated[list[Path], typer.Argument(help="Run directories that share a task; the others are compared with the first.")]
Task = Annotated[str | None, typer.Option("--task", help="The task that is looked at; else the first that all have.")]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
]
AllowChanged = Annotated[
    str | None, typer.Option("--allow-changed", metavar="data", help="Read rows that are not those of the training run.")
]
Device = Annotated[str, typer.Option("--device", help="`auto`, `cpu` or `cuda`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


def attribution(
    runs: Runs,
    task: Task = None,
    words: Annotated[
        str,
        typer.Option(
            "--words",
            metavar="LIST",
            help="Known emotion words: `definitions` of the labels, `lexicon` of the training rows, or a file, one word a line.",
        ),
    ] = "definitions",
    split: Annotated[str, typer.Option("--split", help="`validation`, `test` or `train`.")] = "validation",
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="`best`, `last`, or a step that was kept.")] = "best",
    source: Sources = None,
    allow_changed: AllowChanged = None,
    limit: Annotated[int, typer.Option("--limit", min=3, help="Texts at most; those whose hash is lowest.")] = 500,
    blank: Annotated[
        Literal["mask", "pad"], typer.Option("--blank", help="The token that stands in the text without content.")
    ] = "mask",
    steps: Annotated[
        int, typer.Option("--steps", min=2, max=512, help="Points on the way from there, at first; doubled where they do not do.")
    ] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the samples of texts.")] = 17,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write attribution.json, attribution.md and a picture into this folder.")
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="With --out: so many texts, coloured, in attribution.html.")
    ] = 0,
    device: Device = "auto",
    trust_plugins: Trust = False,
    json: AsJson = False,
) -> None:
    """Do runs decide by known emotion words? Integrated gradients of the true labels, summed to words; needs captum."""
    from emomtl.analyses.attribution.analyse import analyse, write
    from emomtl.analyses.attribution.report import as_json, tables
    from emomtl.analyses.space.vectors import Question
    from emomtl.cli.output import console, print_json, rows_problems, say, sources_of
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.terminal import show

    problems = rows_problems(split, allow_changed)
    if examples and out is None:
        problems.append(Problem("--examples", "there is no folder for the page", "name one with --out"))
    if problems:
        raise EmomtlError(*problems)
    sources, changed = sources_of(source or []), allow_changed == "data"
    question = Question(task, split, checkpoint, sources, changed, device=device, limit=limit, seed=seed)
    found = analyse(runs, partial(Plugins.discover, trust_plugins), question, words, blank, steps, examples, say)
    if out is not None:
        write(found, out, examples, say)
    if json:
        print_json(as_json(found))
    else:
        show(tables(found), console())


def gap(
    runs: Runs,
    task: Task = None,
    source: Sources = None,
    allow_changed: AllowChanged = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=3, help="Rows of either split at most; else as many of train as of validation.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the rows that are taken, and of the samples.")] = 17,
    out: Annotated[Path | None, typer.Option("--out", help="Write gap.json, gap.md and a picture into this folder.")] = None,
    device: Device = "auto",
    trust_plugins: Trust = False,
    json: AsJson = False,
) -> None:
    """How much better runs are on rows that they were trained on: train and validation without dropout, best and last."""
    from emomtl.analyses.gap.measure import measure
    from emomtl.analyses.gap.report import as_json, tables, write
    from emomtl.analyses.space.vectors import Question
    from emomtl.cli.output import console, print_json, rows_problems, say, sources_of
    from emomtl.errors import EmomtlError
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.terminal import show

    if problems := rows_problems("train", allow_changed):
        raise EmomtlError(*problems)
    sources, changed = sources_of(source or []), allow_changed == "data"
    question = Question(task, sources=sources, allow_changed=changed, device=device, seed=seed)
    found = measure(runs, partial(Plugins.discover, trust_plugins), question, limit, say)
    if out is not None:
        write(found, out, say)
    if json:
        print_json(as_json(found))
    else:
        show(tables(found), console())

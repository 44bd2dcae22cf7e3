"""`emomtl analyse`: what is asked of runs beside scores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from emomtl.cli.results import Trust


def space(
    runs: Annotated[list[Path], typer.Argument(help="Run directories that share a task.", show_default=False)],
    task: Annotated[str | None, typer.Option("--task", help="The task whose labels are looked at; else the first.")] = None,
    split: Annotated[str, typer.Option("--split", help="`validation`, `test` or `train`.")] = "validation",
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="`best`, `last`, or a step that was kept.")] = "best",
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Look at the encoders before training too, as a baseline.")
    ] = False,
    vad: Annotated[
        Path | None, typer.Option("--vad", help="A file with valence, arousal and dominance of the labels' words.")
    ] = None,
    vad_columns: Annotated[
        str | None, typer.Option("--vad-columns", metavar="WORD,V,A,D", help="The file's columns, where they have other names.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
    ] = None,
    allow_changed: Annotated[
        str | None, typer.Option("--allow-changed", metavar="data", help="Read rows that are not those of the training run.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=3, help="Texts at most; those whose hash is lowest.")] = 5_000,
    permutations: Annotated[int, typer.Option("--permutations", min=1, help="Permutations of each test.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of samples, permutations and t-SNE.")] = 17,
    out: Annotated[Path | None, typer.Option("--out", help="Write space.json, space.md and pictures into this folder.")] = None,
    device: Annotated[str, typer.Option("--device", help="`auto`, `cpu` or `cuda`.")] = "auto",
    trust_plugins: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Where runs put the texts of each label: similarity to VAD, clusters, neighbours, severity of errors, pictures."""
    from emomtl.analyses.space.analyse import analyse
    from emomtl.analyses.space.report import as_json, tables
    from emomtl.analyses.space.vectors import Question
    from emomtl.cli.output import console, print_json, rows_problems, say, sources_of
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.terminal import show

    problems = rows_problems(split, allow_changed)
    columns = vad_columns.split(",") if vad_columns else []
    if columns and (len(columns) != 4 or vad is None):
        problems.append(Problem("--vad-columns", f"'{vad_columns}' does not name four columns of --vad", "WORD,V,A,D"))
    if problems:
        raise EmomtlError(*problems)
    changed = allow_changed == "data"
    question = Question(task, split, checkpoint, sources_of(source or []), changed, pretrained, device, limit, seed)
    found = analyse(runs, partial(Plugins.discover, trust_plugins), question, permutations, vad, columns, say, out)
    if json:
        print_json(as_json(found))
    else:
        show(tables(found), console())

"""`emomtl export`: a trained run in a format that other software opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emomtl.cli.options import Checkpoint, RunArgument, Sources, Tasks, Trust, Weights


def export(
    run: RunArgument,
    out: Annotated[
        Path, typer.Option("--out", help="The folder to write; it must not exist, or be empty.")
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="transformers, sentence-transformers, onnx, onnx-int8, or one of a plugin.",
        ),
    ],
    task: Tasks = None,
    thresholds: Annotated[
        str, typer.Option("--thresholds", metavar="tuned|fixed", help="Which thresholds go along.")
    ] = "tuned",
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss",
            help="How much of its main metric a task may lose with onnx-int8.",
            min=0.0,
        ),
    ] = 0.005,
    source: Sources = None,
    checkpoint: Checkpoint = "best",
    weights: Weights = None,
    trust_plugins: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was verified as JSON.")] = False,
) -> None:
    """Write a run in another format, compare it with the run on validation rows, and keep it only
    if it agrees.
    """
    from emomtl.cli.output import console, make_table, print_json, say, sources_of
    from emomtl.export.exporting import ExportOrder, export_run
    from emomtl.plugins.discovery import Plugins

    order = ExportOrder(
        run,
        format_,
        out,
        tuple(task or ()),
        checkpoint,
        weights,
        thresholds,
        max_loss,
        sources_of(source or []),
    )
    exported = export_run(order, Plugins.discover(trust_plugins))
    if json:
        print_json({str(one.folder): one.verified for one in exported})
        return
    rows = []
    for one in exported:
        for name, facts in one.verified.items():
            scores = [facts["run"], facts["exported"]]
            shown = ["-" if score is None else f"{score:.4f}" for score in scores]
            difference = f"{facts['largest_logit_difference']:.2g}"
            rows.append([name, f"{facts['rows']:,}", difference, facts["metric"], *shown])
    columns = ["task", "validation rows", "largest logit difference", "metric", "run", "export"]
    console().print(make_table(f"{format_}: verified", columns, rows))
    for one in exported:
        say(f"wrote {one.folder}")

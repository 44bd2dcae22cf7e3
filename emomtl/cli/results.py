"""`emomtl eval`: what comes after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RunArgument = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Checkpoint = Annotated[str, typer.Option("--checkpoint", help="`best`, `last`, or a step that was kept.")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")]
Device = Annotated[str, typer.Option("--device", help="`auto`, `cpu` or `cuda`.")]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="raw|ema",
        help="Raw weights, or their moving average; left out, those that chose the best checkpoint.",
    ),
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
]

Trust = Annotated[
    bool,
    typer.Option(
        "--trust-plugins",
        envvar="EMOMTL_TRUST_PLUGINS",
        help="Run the plugin files (code) that the run's folder brings along.",
    ),
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
    weights: Weights = None,
    trust_plugins: Trust = False,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Score a run's checkpoint on a split; the scores are added to the run, and each look at test is counted."""
    from emomtl.cli.output import console, make_table, print_json, say, scores_json, scores_table, sources_of
    from emomtl.contracts.sources import SPLITS
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    if split not in SPLITS:
        raise EmomtlError(Problem("--split", f"'{split}' is no split", suggest(split, SPLITS)))
    if allow_changed not in (None, "data"):
        raise EmomtlError(Problem("--allow-changed", f"'{allow_changed}' is not known here", "data"))
    unseen = _policy(unseen_labels)
    sources = sources_of(source or [])
    trained = open_trained(run, checkpoint, Plugins.discover(trust_plugins), device, weights)
    trained.tasks(sources)
    scores, look, notes = trained.evaluate(split, task or [], sources, allow_changed == "data", answers, unseen)
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


def _policy(given: str | None) -> Literal["refuse", "wrong"] | None:
    """What becomes of rows with labels that the model does not have; None where the manifest says it."""
    from emomtl.errors import EmomtlError, Problem

    if given is None:
        return None
    if given not in ("refuse", "wrong"):
        raise EmomtlError(Problem("--unseen-labels", f"'{given}' is not known here", "refuse, or wrong"))
    return "wrong" if given == "wrong" else "refuse"

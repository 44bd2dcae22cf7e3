"""`emomtl eval`: a run's scores on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from emomtl.cli.options import (
    AllowChanged,
    Checkpoint,
    Device,
    Json,
    RunArgument,
    Sources,
    Split,
    Tasks,
    Trust,
    Weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emomtl.metrics.scoring import TaskScores


def evaluate(
    run: RunArgument,
    split: Split = "validation",
    task: Tasks = None,
    checkpoint: Checkpoint = "best",
    source: Sources = None,
    allow_changed: AllowChanged = None,
    unseen_labels: Annotated[
        Literal["refuse", "wrong"] | None,
        Option(
            help=(
                "Rows with a label that the model does not have: refuse them, or count them as"
                " wrong."
            )
        ),
    ] = None,
    answers: Annotated[
        bool,
        Option(help="Keep targets and probabilities in the run, for intervals and comparisons."),
    ] = True,
    labels: Annotated[bool, Option("--labels", help="Print the table of every label too.")] = False,
    weights: Weights = None,
    trust_plugins: Trust = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a run's checkpoint on a split.

    The scores are added to the run, and each look at test is counted.
    """
    from emomtl.cli.output import console, print_json, say, scores_json, scores_table, sources_of
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins

    sources = sources_of(source or [])
    trained = open_trained(run, checkpoint, Plugins.discover(trust_plugins), device, weights)
    trained.tasks(sources)
    scores, look, notes = trained.evaluate(
        split, task or [], sources, allow_changed == "data", answers, unseen_labels
    )
    for note in notes:
        say(f"note: {note}")
    for name, task_scores in scores.items():
        for line in task_scores.said:
            say(f"note: {name}: {line}")
    say(f"look number {look} of {trained.checkpoint.path.name} at {split}")
    if json:
        print_json(scores_json(trained.run.name, split, scores))
        return
    title = f"{trained.run.name}: {split}, step {trained.checkpoint.step:,}"
    console().print(scores_table(title, {checkpoint: scores}))
    if labels:
        _print_labels(scores, split)


def _print_labels(scores: Mapping[str, TaskScores], split: str) -> None:
    """A table for each task and each grouping of its labels."""
    from emomtl.cli.output import console, make_table

    for task, task_scores in scores.items():
        for grouping, label_rows in task_scores.tables.items():
            columns = list(label_rows[0]) if label_rows else []
            title = f"{task}{'/' + grouping if grouping else ''}: labels on {split}"
            rows = [[row[column] for column in columns] for row in label_rows]
            console().print(make_table(title, columns, rows))
